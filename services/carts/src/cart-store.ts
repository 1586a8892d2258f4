import { sql } from "@kontor/platform/database/sql.ts";
import type { Writes } from "@kontor/platform/database/writes.ts";
import { expectVersion } from "@kontor/platform/database/expect-version.ts";
import type { Collection } from "@kontor/platform/documents/documents.ts";
import { refuse, refusalIn } from "@kontor/platform/errors/refusal.ts";
import type { ServiceContext } from "@kontor/platform/service/service.ts";
import { cartKey, mayAccess } from "./cart.ts";
import type { StoredCart } from "./cart.ts";

const lifeMs = 30 * 24 * 3_600_000;
/** Between processes chance decides which one writes first: of five that all change one cart, one loses fifty times in a row once in 70,000. */
const triesMax = 50;

/** A cart as it was read. */
export interface ReadCart {
  readonly version: number;
  readonly cart: StoredCart;
  readonly expiresAt: Date;
}

/** Which cart, and on whose behalf. */
export interface Holder {
  readonly id: string;
  /** Undefined for a guest. */
  readonly account: string | undefined;
  /** Also finds a cart that is being merged, when it is into the one with this key. */
  readonly mergingInto?: string;
}

export interface ChangeOptions {
  /** The version that the caller saw. */
  readonly version?: number | undefined;
  /** The cart as it has just been read, which saves reading it again. */
  readonly read?: ReadCart;
}

export interface Carts {
  insert(id: string, cart: StoredCart): Promise<ReadCart>;
  /** Refuses with NOT_FOUND when it does not exist, has expired, is another account's, or is being merged into another cart. */
  read(holder: Holder): Promise<ReadCart>;
  /**
   * Reads, changes and writes; the cart lives on for 30 days from then. A change that gives the same cart writes nothing. Against another
   * writer it tries again, unless the caller named the version that it saw: then it refuses with VERSION_CONFLICT.
   */
  change(holder: Holder, change: (cart: StoredCart) => StoredCart, options?: ChangeOptions): Promise<ReadCart>;
  /** Nothing happens when it does not exist. Refuses with NOT_FOUND when it is another account's. */
  delete(holder: Holder): Promise<void>;
  deleteByKeys(keys: readonly string[]): Promise<void>;
  /** The same for the end of a transaction: undefined where carts are in another store than its database. */
  deletionByKeys(keys: readonly string[]): Writes | undefined;
}

export function createCarts({ documents, clock }: Pick<ServiceContext, "documents" | "clock">): Carts {
  const collection: Collection<StoredCart> = documents.collection("carts");
  const turns = new Map<string, Promise<void>>();
  const expiry = () => new Date(clock.now().getTime() + lifeMs);

  const read: Carts["read"] = async ({ id, account, mergingInto }) => {
    const found = await collection.get(cartKey(id), clock.now());
    if (found === undefined || !mayAccess(found.body, account)) throw notFound();
    if (found.body.mergingInto !== undefined && found.body.mergingInto !== mergingInto) throw notFound();
    return { version: found.version, cart: found.body, expiresAt: found.expiresAt ?? expiry() };
  };

  async function tryToChange(
    holder: Holder,
    change: (cart: StoredCart) => StoredCart,
    version: number | undefined,
    known: ReadCart | undefined,
  ): Promise<ReadCart> {
    const key = cartKey(holder.id);
    let before = known ?? (await read(holder));
    for (let tries = 1; ; tries++) {
      expectVersion("cart", before, version);
      const cart = change(before.cart);
      if (cart === before.cart) return before;
      const expiresAt = expiry();
      try {
        return { version: await collection.put(key, cart, { expectedVersion: before.version, expiresAt }), cart, expiresAt };
      } catch (error) {
        if (tries === triesMax || refusalIn(error)?.reason !== "VERSION_CONFLICT") throw error;
        before = await read(holder);
      }
    }
  }

  return {
    insert: async (id, cart) => {
      const expiresAt = expiry();
      return { version: await collection.put(cartKey(id), cart, { expectedVersion: 0, expiresAt }), cart, expiresAt };
    },
    read,
    change: async (holder, change, { version, read: known } = {}) => {
      const key = cartKey(holder.id);
      // One after the other within this process: at the same time they would only make each other try again.
      const before = turns.get(key);
      const turn =
        before === undefined
          ? tryToChange(holder, change, version, known)
          : before.then(() => tryToChange(holder, change, version, undefined));
      const over = turn.then(
        () => undefined,
        () => undefined,
      );
      turns.set(key, over);
      try {
        return await turn;
      } finally {
        if (turns.get(key) === over) turns.delete(key);
      }
    },
    delete: async ({ id, account }) => {
      const found = await collection.get(cartKey(id), clock.now());
      if (found === undefined) return;
      if (!mayAccess(found.body, account)) throw notFound();
      await collection.delete(cartKey(id));
    },
    deleteByKeys: (keys) => collection.delete(...keys),
    deletionByKeys: (keys) => collection.deleteSql && { parts: [sql`cleared as (${collection.deleteSql(keys)})`] },
  };
}

function notFound(): Error {
  return refuse({ reason: "NOT_FOUND", code: "not_found", message: "There is no such cart" });
}
