import type { Money } from "@kontor/contracts/money.ts";

/** The state of an attempt to pay at the provider. */
export type SessionStatus =
  /** The shopper has not decided yet. */
  | "open"
  /** The provider does not know the outcome yet. */
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

/** What a provider reports by a webhook. */
export interface ProviderEvent {
  /** The provider's id of the event: the same when it is sent again. */
  readonly id: string;
  /** The payment that the session was opened for. */
  readonly payment: string;
  readonly session: Session;
}

/**
 * A payment provider. Each call names a key of ours, so that one whose response was lost can be repeated and has its effect once. Every
 * call may throw `DEPENDENCY_UNAVAILABLE`: then its outcome is unknown.
 */
export interface Provider {
  readonly name: string;
  /** Opens a session, or returns the one that exists. For a key that was closed before it is a closed session. */
  open(
    session: { readonly key: string; readonly amount: Money; readonly reference: string; readonly returnUrl: string },
    signal: AbortSignal,
  ): Promise<Session>;
  /** Its state; undefined when the provider has no such session. */
  read(key: string, signal: AbortSignal): Promise<Session | undefined>;
  /** Ensures that it cannot be paid, also when it was never opened. Resolves to closed, declined or succeeded; to processing when that is not decided yet. */
  close(key: string, signal: AbortSignal): Promise<Session>;
  /** Refunds money of a session, once per refund key. */
  refund(
    refund: { readonly key: string; readonly session: string; readonly amount: Money },
    signal: AbortSignal,
  ): Promise<"succeeded" | "failed">;
  /** Checks a webhook's signature and reads it; undefined for an event that does not concern payments. Refuses with WEBHOOK_SIGNATURE. */
  receive(headers: Readonly<Record<string, string>>, body: Uint8Array): ProviderEvent | undefined;
}
