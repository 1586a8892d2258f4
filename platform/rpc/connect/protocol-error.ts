import { refuse } from "../../errors/refusal.ts";
import type { RefusalInit } from "../../errors/refusal.ts";

export interface ProtocolErrorInit extends RefusalInit {
  /** Instead of that of the code. */
  readonly status?: number;
  /** Headers that the response has besides. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** A request that the protocol does not allow, with what the response says about it. Its cause is the refusal. */
export class ProtocolError extends Error {
  override readonly name = "ProtocolError";
  readonly status: number | undefined;
  readonly headers: Readonly<Record<string, string>>;

  constructor({ status, headers = {}, ...refusal }: ProtocolErrorInit) {
    super(refusal.message ?? refusal.reason, { cause: refuse(refusal) });
    this.status = status;
    this.headers = headers;
  }
}
