import { refuse } from "@kontor/platform/errors/refusal.ts";

/** How much memory the bodies of all requests in progress may occupy together. */
export class BodyBudget {
  readonly #max: number;
  #reserved = 0;

  constructor(max: number) {
    this.#max = max;
  }

  /** Refuses `OVERLOADED` when the bytes do not fit. Reserved bytes are returned with `release`. */
  reserve(bytes: number): void {
    if (this.#reserved + bytes > this.#max)
      throw refuse({ reason: "OVERLOADED", code: "unavailable", message: "The shop is busy; try again", retryAfterMs: 1000 });
    this.#reserved += bytes;
  }

  release(bytes: number): void {
    this.#reserved -= bytes;
  }
}
