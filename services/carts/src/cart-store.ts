import type { Collection } from "@kontor/platform/documents/documents.ts";
import { refuse, refusalIn } from "@kontor/platform/errors/refusal.ts";
import type { Surroundings } from "@kontor/platform/service/service.ts";
import { cartKey, opensTo } from "./cart.ts";
import type { StoredCart } from "./cart.ts";

const lifeMs = 30 * 24 * 3_600_000;
const triesMax = 10;

/** A cart as it was read. */
export interface ReadCart {
  readonly version: number;
  readonly cart: StoredCart;
  readonly expiresAt: Date;
}

export interface Carts {
  insert(id: string, cart: StoredCart): Promise<ReadCart>;
  /** Refuses with NOT_FOUND when it is not there, has expired, or is another account's. */
  read(id: string, account: string | undefined): Promise<ReadCart>;
  /**
   * Reads, changes and writes. Against another writer it tries again, unless the caller named the version that it saw: then it
   * refuses with VERSION_CONFLICT.
   */
  change(id: string, account: string | undefined, version: number | undefined, change: (cart: StoredCart) => StoredCart): Promise<ReadCart>;
  delete(id: string, account: string | undefined): Promise<void>;
  deleteByKey(key: string): Promise<void>;
  /** Removes the expired ones. */
  sweep(): Promise<number>;
}

export function createCarts({ documents, clock }: Pick<Surroundings, "documents" | "clock">): Carts {
  const collection: Collection<StoredCart> = documents.collection("carts");
  const expiry = () => new Date(clock.now().getTime() + lifeMs);

  const read: Carts["read"] = async (id, account) => {
    const found = await collection.get(cartKey(id), clock.now());
    if (found === undefined || !opensTo(found.body, account)) throw refuse({ reason: "NOT_FOUND", code: "not_found", message: "There is no such cart" });
    return { version: found.version, cart: found.body, expiresAt: found.expiresAt ?? expiry() };
  };
  return {
    insert: async (id, cart) => {
      const expiresAt = expiry();
      return { version: await collection.put(cartKey(id), cart, { expectedVersion: 0, expiresAt }), cart, expiresAt };
    },
    read,
    change: async (id, account, version, change) => {
      for (let tries = 1; ; tries++) {
        const before = await read(id, account);
        const cart = change(before.cart);
        const expiresAt = expiry();
        try {
          return { version: await collection.put(cartKey(id), cart, { expectedVersion: version ?? before.version, expiresAt }), cart, expiresAt };
        } catch (error) {
          if (version !== undefined || tries === triesMax || refusalIn(error)?.reason !== "VERSION_CONFLICT") throw error;
        }
      }
    },
    delete: async (id, account) => {
      const found = await collection.get(cartKey(id), clock.now());
      if (found !== undefined && opensTo(found.body, account)) await collection.delete(cartKey(id));
    },
    deleteByKey: (key) => collection.delete(key),
    sweep: () => collection.sweep(clock.now()),
  };
}
