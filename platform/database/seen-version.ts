import { refuse } from "../errors/refusal.ts";

/**
 * The version of a resource that a caller has seen. What locks a resource for a command takes it and compares: a command that names a version and
 * ends well without a comparison is a fault.
 */
export class SeenVersion {
  /** For a change that no caller's version belongs to: an event's, a task's. */
  static readonly any = new SeenVersion(undefined);

  readonly #version: number | undefined;
  #isCompared = false;

  constructor(version: number | undefined) {
    this.#version = version;
  }

  /** Whether the caller named a version that nothing was compared with. */
  get isIgnored(): boolean {
    return this.#version !== undefined && !this.#isCompared;
  }

  /** Compares with a resource that is locked, or is written only at this version. Refuses with VERSION_CONFLICT and the current version: "The order is at version 3". */
  expect(what: string, { version }: { readonly version: number }): void {
    this.#isCompared = true;
    if (this.#version !== undefined && this.#version !== version)
      throw refuse({ reason: "VERSION_CONFLICT", code: "aborted", message: `The ${what} is at version ${version}`, details: { version } });
  }

  /** For a repeat that changes nothing: it was compared when the effect was written. */
  comparedBefore(): void {
    this.#isCompared = true;
  }
}
