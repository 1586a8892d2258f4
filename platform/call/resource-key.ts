import { keyReused } from "../errors/key-reused.ts";

/** A key as it is stored with a resource: digests of the key and of the request that came with it. */
export interface StoredKey {
  readonly key: string;
  readonly request: string;
}

/**
 * The idempotency key of a change of one resource, which stores it in the write that has the effect. A command that ends well without having
 * looked for its key is a fault.
 */
export class ResourceKey {
  /** For a change that comes without one. */
  static readonly none = new ResourceKey(undefined);

  readonly #key: StoredKey | undefined;
  #isLookedFor = false;

  constructor(key: StoredKey | undefined) {
    this.#key = key;
  }

  /** Whether the call has a key that nothing has looked for. */
  get isIgnored(): boolean {
    return this.#key !== undefined && !this.#isLookedFor;
  }

  /** What to store with the effect: undefined without a key. */
  get toStore(): StoredKey | undefined {
    return this.#key;
  }

  /** Whether a key that is stored with the resource is this one: then the call is a repeat. Refuses with IDEMPOTENCY_KEY_REUSED when it came with another request. */
  is(stored: StoredKey | undefined): boolean {
    this.#isLookedFor = true;
    if (this.#key === undefined || stored?.key !== this.#key.key) return false;
    if (stored.request !== this.#key.request) throw keyReused();
    return true;
  }

  /** The same for the keys of several changes. */
  isIn(stored: readonly (StoredKey | undefined)[]): boolean {
    this.#isLookedFor = true;
    return stored.some((one) => this.is(one));
  }
}
