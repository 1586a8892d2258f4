import type { Money } from "@kontor/contracts/money.ts";

/** How a try to pay stands at the provider. */
export type SessionStatus =
  /** The shopper has not decided yet. */
  | "open"
  /** The provider does not know yet itself. */
  | "processing"
  | "succeeded"
  | "declined"
  /** Can no longer be paid. */
  | "closed";

export interface Session {
  /** Ours: the attempt's id. */
  readonly key: string;
  readonly status: SessionStatus;
  /** The page on which the shopper pays. */
  readonly url: string;
  readonly amount: Money;
  readonly declineCode: string;
}

/** What a provider tells of its own accord. */
export interface ProviderEvent {
  /** The provider's id of the event: the same when it is sent again. */
  readonly id: string;
  /** The payment that the session was opened for. */
  readonly payment: string;
  readonly session: Session;
}

/**
 * A payment provider. All is asked by keys of ours, so that a call whose answer was lost can be made again and has its effect once. Every
 * call may throw `DEPENDENCY_UNAVAILABLE`: then nobody knows whether it had its effect.
 */
export interface Provider {
  readonly name: string;
  /** Opens a session, or gives the one that is there. A key that was closed before it came gives a closed session. */
  open(
    session: { readonly key: string; readonly amount: Money; readonly reference: string; readonly returnUrl: string },
    signal: AbortSignal,
  ): Promise<Session>;
  /** How it stands; undefined when the provider never heard of it. */
  read(key: string, signal: AbortSignal): Promise<Session | undefined>;
  /** Sees to it that it cannot be paid, also when it was never opened. The answer is closed, declined or succeeded; processing when that cannot be said yet. */
  close(key: string, signal: AbortSignal): Promise<Session>;
  /** Gives money of a session back, once per refund key. */
  refund(
    refund: { readonly key: string; readonly session: string; readonly amount: Money },
    signal: AbortSignal,
  ): Promise<"succeeded" | "failed">;
  /** Checks a webhook's signature and reads it; undefined for an event that says nothing to us. Refuses with WEBHOOK_SIGNATURE. */
  receive(headers: Readonly<Record<string, string>>, body: Uint8Array): ProviderEvent | undefined;
}
