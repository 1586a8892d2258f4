import { setTimeout as sleep } from "node:timers/promises";
import type { Money } from "@kontor/contracts/money.ts";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import type { Provider, Session, SessionStatus } from "./provider.ts";

export type Operation = "open" | "read" | "close" | "refund";

/** Unavailable: not executed, no response. Lost: executed, no response. Silent: not executed, and no response for longer than an impatient caller waits. */
export type Fault = "unavailable" | "lost" | "silent";

/** A webhook as the provider would send it. */
export interface SentWebhook {
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

/** A payment provider for tests, in memory, that does what a test scripts. */
export interface ScriptedProvider extends Provider {
  /** Called before each operation; no faults by default. */
  fault: (operation: Operation, key: string) => Fault | undefined;
  /** Whether refunds are refused. */
  refusesRefunds: boolean;
  /** The status of new sessions: "open" by default. */
  opensAs: SessionStatus;
  /** All operations that reached it, as `open att_…`. */
  readonly operations: string[];
  /** The page on which the session of this address is paid: the shopper approves. False when it cannot be paid any more. */
  pay(key: string): boolean;
  decline(key: string, code?: string): void;
  /** The session is processing: its outcome is not known yet. */
  hold(key: string): void;
  /** The money is taken although the session was declined or closed before. */
  payLate(key: string): void;
  /** What it would send about a session now, signed. */
  webhook(key: string): SentWebhook;
  /** What it has in its ledger: the money taken, and what of it was returned. */
  ledger(): { readonly charges: number; readonly taken: bigint; readonly returned: bigint };
}

interface StoredSession {
  readonly key: string;
  readonly reference: string;
  readonly amount: Money;
  status: SessionStatus;
  declineCode: string;
  charges: number;
  returned: bigint;
}

const silentMs = 600;

const webhookSignature = "signed-by-the-scripted-provider";

/** Creates a payment provider for tests. */
export function scriptedProvider(): ScriptedProvider {
  const sessions = new Map<string, StoredSession>();
  const refunds = new Map<string, "succeeded" | "failed">();

  const sessionOf = (key: string): StoredSession => {
    const session = sessions.get(key);
    if (session === undefined) throw new Error(`the scripted provider has no session ${key}`);
    return session;
  };
  const sessionFor = ({ key, status, amount, declineCode }: StoredSession): Session => ({
    key,
    status,
    url: `https://provider.test/${key}`,
    amount,
    declineCode,
  });
  const take = (session: StoredSession) => {
    session.status = "succeeded";
    session.charges++;
  };

  const performed = async <T>(operation: Operation, key: string, signal: AbortSignal, work: () => T): Promise<T> => {
    // Like a network: never within the same turn.
    await pause(0, signal);
    const fault = provider.fault(operation, key);
    if (fault === "unavailable") throw unavailable();
    if (fault === "silent") {
      await pause(silentMs, signal);
      throw unavailable();
    }
    provider.operations.push(`${operation} ${key}`);
    const result = work();
    if (fault === "lost") throw unavailable();
    return result;
  };

  const provider: ScriptedProvider = {
    name: "scripted",
    fault: () => undefined,
    refusesRefunds: false,
    opensAs: "open",
    operations: [],
    open: ({ key, amount, reference }, signal) =>
      performed("open", key, signal, () => {
        const there = sessions.get(key);
        if (there !== undefined) return sessionFor(there);
        const session: StoredSession = { key, reference, amount, status: provider.opensAs, declineCode: "", charges: 0, returned: 0n };
        sessions.set(key, session);
        return sessionFor(session);
      }),
    read: (key, signal) =>
      performed("read", key, signal, () => {
        const session = sessions.get(key);
        return session && sessionFor(session);
      }),
    close: (key, signal) =>
      performed("close", key, signal, () => {
        const tombstone: StoredSession = {
          key,
          reference: "",
          amount: { currency: "EUR", minor: 0n },
          status: "closed",
          declineCode: "",
          charges: 0,
          returned: 0n,
        };
        const session = sessions.get(key) ?? tombstone;
        sessions.set(key, session);
        if (session.status === "open") session.status = "closed";
        return sessionFor(session);
      }),
    refund: ({ key, session: of, amount }, signal) =>
      performed("refund", key, signal, () => {
        const session = sessionOf(of);
        const known = refunds.get(key);
        if (known !== undefined) return known;
        const left = session.amount.minor * BigInt(session.charges) - session.returned;
        const outcome = provider.refusesRefunds || amount.minor > left ? "failed" : "succeeded";
        if (outcome === "succeeded") session.returned += amount.minor;
        refunds.set(key, outcome);
        return outcome;
      }),
    receive: (headers, body) => {
      if (headers["signature"] !== webhookSignature)
        throw refuse({ reason: "WEBHOOK_SIGNATURE", code: "unauthenticated", message: "The signature does not fit" });
      const { id, payment, key, status, declineCode } = JSON.parse(Buffer.from(body).toString()) as Record<string, string>;
      if (status === undefined) return undefined;
      return {
        id: id!,
        payment: payment!,
        session: { ...sessionFor(sessionOf(key!)), status: status as SessionStatus, declineCode: declineCode! },
      };
    },
    pay: (key) => {
      const session = sessionOf(key);
      if (session.status !== "open") return false;
      take(session);
      return true;
    },
    decline: (key, code = "card_declined") => {
      const session = sessionOf(key);
      if (session.status !== "open" && session.status !== "processing") return;
      session.status = "declined";
      session.declineCode = code;
    },
    hold: (key) => {
      sessionOf(key).status = "processing";
    },
    payLate: (key) => take(sessionOf(key)),
    webhook: (key) => {
      const { reference, status, declineCode } = sessionOf(key);
      const event = { id: `evt_${key}_${status}`, payment: reference, key, status, declineCode };
      return { headers: { signature: webhookSignature }, body: Buffer.from(JSON.stringify(event)) };
    },
    ledger: () => {
      let charges = 0;
      let taken = 0n;
      let returned = 0n;
      for (const session of sessions.values()) {
        charges += session.charges;
        taken += session.amount.minor * BigInt(session.charges);
        returned += session.returned;
      }
      return { charges, taken, returned };
    },
  };
  return provider;
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await sleep(ms, undefined, { signal });
  } catch (error) {
    throw unavailable(error);
  }
}

function unavailable(cause?: unknown): Error {
  return refuse({
    reason: "DEPENDENCY_UNAVAILABLE",
    code: "unavailable",
    message: "The payment provider does not respond",
    retryAfterMs: 2_000,
    cause,
  });
}
