import { refuse } from "@kontor/platform/errors/refusal.ts";

/** What the bodies of all requests under way may take of memory together. */
export class HeldBytes {
  readonly #max: number;
  #held = 0;

  constructor(max: number) {
    this.#max = max;
  }

  /** Refuses `OVERLOADED` when it would be too much. What was taken is given back with `give`. */
  take(bytes: number): void {
    if (this.#held + bytes > this.#max)
      throw refuse({ reason: "OVERLOADED", code: "unavailable", message: "The shop is busy; try again", retryAfterMs: 1000 });
    this.#held += bytes;
  }

  give(bytes: number): void {
    this.#held -= bytes;
  }

  get held(): number {
    return this.#held;
  }
}
