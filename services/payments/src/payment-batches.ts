import { again, createBatch, decideEach } from "@kontor/platform/batch/batch.ts";
import type { BatchItem, Outcome } from "@kontor/platform/batch/batch.ts";
import { createLookup } from "@kontor/platform/batch/lookup.ts";
import { writeAll } from "@kontor/platform/batch/write-all.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import type { Changes } from "@kontor/platform/changes/changes.ts";
import type { ServiceContext } from "@kontor/platform/service/service.ts";
import { opened } from "./payment.ts";
import type { Decision, PaymentRecord } from "./payment.ts";
import { findPayments, findPaymentsBySecret, insertPaymentsSql, noSuchPayment, savedPayment, writingOf } from "./payment-store.ts";
import type { Saving } from "./payment-store.ts";

type Needs = Pick<ServiceContext, "database" | "events" | "tasks"> & { readonly changes: Changes };

/** Decides on a payment as it is: undefined when there is nothing to do. It may be called again, for a payment that was changed meanwhile. */
export type Decide = (payment: PaymentRecord) => Saving | undefined;

/** Payments, read and written together with all others that are at the same time: a statement each. */
export interface PaymentBatches {
  /** Stores a new payment with its event. Gives the one that has its id when there is one: "VOID" for a tombstone. */
  open(payment: PaymentRecord, call: Call): Promise<PaymentRecord | "VOID">;
  /**
   * Decides on a payment and stores that: no lock is held while it is decided. The version is what is locked on: when somebody else has written meanwhile,
   * nothing is stored, and it is decided again on what is there then. `read` is the payment as it has just been read. Refuses with NOT_FOUND.
   */
  change(id: string, decide: Decide, call: Call, read?: PaymentRecord): Promise<PaymentRecord>;
  /** Refuses with NOT_FOUND. */
  read(id: string, call: Call): Promise<PaymentRecord>;
  /** The payment whose page has this secret in its address. Refuses with NOT_FOUND. */
  readBySecret(secret: string, call: Call): Promise<PaymentRecord>;
}

interface Change {
  readonly id: string;
  readonly decide: Decide;
  /** Until it is tried for the first time. */
  read: PaymentRecord | undefined;
}

export function createPaymentBatches(needs: Needs): PaymentBatches {
  const { database } = needs;
  const opening = createBatch<Decision, PaymentRecord | "VOID">({
    name: "payments.open",
    keyOf: ({ payment }) => payment.id,
    execute: (items) => openAll(needs, items),
  });
  const changes = createBatch<Change, PaymentRecord>({
    name: "payments.change",
    keyOf: ({ id }) => id,
    execute: (items) => changeAll(needs, items),
  });
  const byId = createLookup("payments.read", (ids) => findPayments(database, ids));
  const bySecret = createLookup("payments.page", (secrets) => findPaymentsBySecret(database, secrets));
  return {
    open: (payment, call) => opening.run(opened(payment, payment.createdAt), call),
    change: (id, decide, call, read) => changes.run({ id, decide, read }, call),
    read: async (id, call) => present(await byId.find(id, call)),
    readBySecret: async (secret, call) => present(await bySecret.find(secret, call)),
  };
}

async function openAll(needs: Needs, items: readonly BatchItem<Decision>[]): Promise<(PaymentRecord | "VOID" | Error)[]> {
  const made = await writeAll(needs, {
    state: insertPaymentsSql(items.map(({ request }) => request.payment)),
    streams: items.map(({ request, call }) => ({ stream: request.payment.id, expectedVersion: 0, events: request.events, call })),
    call: items[0]!.call,
  });
  const taken = items.flatMap(({ request: { payment } }) => (made.has(payment.id) ? [] : [payment.id]));
  const there = await findPayments(needs.database, taken);
  return items.map(({ request: { payment } }) => {
    return made.has(payment.id) ? payment : (there.get(payment.id) ?? new Error(`payment ${payment.id} is neither made nor there`));
  });
}

async function changeAll(needs: Needs, items: readonly BatchItem<Change>[]): Promise<Outcome<PaymentRecord>[]> {
  const unread = items.flatMap(({ request: { id, read } }) => (read === undefined ? [id] : []));
  const found = await findPayments(needs.database, unread);
  const decided = decideEach(items, ({ request, call }) => {
    const payment = request.read ?? present(found.get(request.id));
    request.read = undefined;
    const saving = request.decide(payment);
    return saving === undefined ? { payment } : { ...saving, call };
  });
  const savings = decided.filter((one) => "decision" in one);
  const written = savings.length === 0 ? new Set<string>() : await writeAll(needs, writingOf(savings));
  if (written.size > 0) needs.changes.announce([...written]);
  return decided.map((one) => {
    if (one instanceof Error) return one;
    if (!("decision" in one)) return one.payment;
    return written.has(one.decision.payment.id) ? savedPayment(one) : again;
  });
}

function present(payment: PaymentRecord | "VOID" | undefined): PaymentRecord {
  if (payment === undefined || payment === "VOID") throw noSuchPayment();
  return payment;
}
