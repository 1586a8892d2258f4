import { ResourceKey } from "@kontor/platform/call/resource-key.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import type { Writes } from "@kontor/platform/database/writes.ts";
import { SeenVersion } from "@kontor/platform/database/seen-version.ts";
import type { Collection } from "@kontor/platform/documents/documents.ts";
import { refuse, refusalIn } from "@kontor/platform/errors/refusal.ts";
import type { ServiceContext } from "@kontor/platform/service/service.ts";
import { cartKey, mayAccess, removeOrdered, withKey } from "./cart.ts";
import type { StoredCart, StoredLine } from "./cart.ts";

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
  /** The version that the caller has seen: any by default. */
  readonly seen?: SeenVersion;
  /** The key of the caller's request, which is stored with the change: none by default. */
  readonly key?: ResourceKey;
  /** The cart as it has just been read, which saves reading it again. */
  readonly read?: ReadCart;
}

/** What was ordered of the cart with a key. */
export interface OrderedLines {
  readonly key: string;
  readonly order: string;
  readonly lines: readonly Pick<StoredLine, "sku" | "quantity">[];
}

interface TryOptions extends ChangeOptions {
  readonly readAgain: () => Promise<ReadCart>;
  /** Until when the changed cart is found: for 30 days by default. */
  readonly expiryOf?: (cart: StoredCart) => Date;
}

export interface Carts {
  insert(id: string, cart: StoredCart): Promise<ReadCart>;
  /** Refuses with NOT_FOUND when it does not exist, has expired, is another account's, or is being merged into another cart. */
  read(holder: Holder): Promise<ReadCart>;
  /**
   * Reads, changes and writes; the cart lives on for 30 days from then. A change that gives the same cart writes nothing, and so does one whose key the cart
   * has. Against another writer it tries again, unless the caller named the version that it saw: then it refuses with VERSION_CONFLICT. Refuses with
   * IDEMPOTENCY_KEY_REUSED.
   */
  change(holder: Holder, change: (cart: StoredCart) => StoredCart, options?: ChangeOptions): Promise<ReadCart>;
  /** Nothing happens when it does not exist. Refuses with NOT_FOUND when it is another account's. */
  delete(holder: Holder): Promise<void>;
  deleteByKeys(keys: readonly string[]): Promise<void>;
  /** Takes out what was ordered, once per order. A cart that is left empty is found no more. Nothing happens when it does not exist. */
  removeOrdered(ordered: OrderedLines): Promise<void>;
  /**
   * Deletes the carts that still are as they were ordered, at the end of a transaction: `removed` gives their keys as `id`. Undefined where carts are in
   * another store than its database.
   */
  removal(ordered: readonly { readonly key: string; readonly version: number }[]): Writes | undefined;
}

export function createCarts({ documents, clock }: Pick<ServiceContext, "documents" | "clock">): Carts {
  const collection: Collection<StoredCart> = documents.collection("carts");
  const turns = new Map<string, Promise<void>>();
  const expiry = () => new Date(clock.now().getTime() + lifeMs);

  async function readByKey(key: string): Promise<ReadCart> {
    const found = await collection.get(key, clock.now());
    if (found === undefined) throw notFound();
    return { version: found.version, cart: found.body, expiresAt: found.expiresAt ?? expiry() };
  }

  const read: Carts["read"] = async ({ id, account, mergingInto }) => {
    const found = await readByKey(cartKey(id));
    if (!mayAccess(found.cart, account)) throw notFound();
    if (found.cart.mergingInto !== undefined && found.cart.mergingInto !== mergingInto) throw notFound();
    return found;
  };

  async function tryToChange(
    id: string,
    change: (cart: StoredCart) => StoredCart,
    { readAgain, read: known, seen = SeenVersion.any, key = ResourceKey.none, expiryOf = expiry }: TryOptions,
  ): Promise<ReadCart> {
    let before = known ?? (await readAgain());
    for (let tries = 1; ; tries++) {
      if (isRepeat(before, { seen, key })) return before;
      seen.expect("cart", before);
      const changed = change(before.cart);
      if (changed === before.cart) return before;
      const cart = withKey(changed, key.toStore);
      const expiresAt = expiryOf(cart);
      try {
        return { version: await collection.put(id, cart, { expectedVersion: before.version, expiresAt }), cart, expiresAt };
      } catch (error) {
        if (tries === triesMax || refusalIn(error)?.reason !== "VERSION_CONFLICT") throw error;
        before = await readAgain();
      }
    }
  }

  return {
    insert: async (id, cart) => {
      const expiresAt = expiry();
      return { version: await collection.put(cartKey(id), cart, { expectedVersion: 0, expiresAt }), cart, expiresAt };
    },
    read,
    change: async (holder, change, { read: known, ...options } = {}) => {
      const id = cartKey(holder.id);
      const readAgain = () => read(holder);
      // One after the other within this process: at the same time they would only make each other try again.
      const before = turns.get(id);
      const turn =
        before === undefined
          ? tryToChange(id, change, { ...options, readAgain, ...(known && { read: known }) })
          : before.then(() => tryToChange(id, change, { ...options, readAgain }));
      const over = turn.then(
        () => undefined,
        () => undefined,
      );
      turns.set(id, over);
      try {
        return await turn;
      } finally {
        if (turns.get(id) === over) turns.delete(id);
      }
    },
    delete: async ({ id, account }) => {
      const found = await collection.get(cartKey(id), clock.now());
      if (found === undefined) return;
      if (!mayAccess(found.body, account)) throw notFound();
      await collection.delete(cartKey(id));
    },
    deleteByKeys: (keys) => collection.delete(...keys),
    removeOrdered: async ({ key, ...ordered }) => {
      // An empty one is not deleted but expires, which a line that is added at the same time prevents.
      const expiryOf = ({ lines }: StoredCart) => (lines.length === 0 ? clock.now() : expiry());
      try {
        await tryToChange(key, (cart) => removeOrdered(cart, ordered), { readAgain: () => readByKey(key), expiryOf });
      } catch (error) {
        if (refusalIn(error)?.reason !== "NOT_FOUND") throw error;
      }
    },
    removal: (ordered) =>
      collection.deleteSql && {
        parts: [sql`removed as (${collection.deleteSql(ordered.map(({ key: id, version }) => ({ id, version })))})`],
      },
  };
}

/** Whether the cart has the key of this change: then it was made, at the version that its caller had seen. Refuses with IDEMPOTENCY_KEY_REUSED. */
export function isRepeat({ cart }: ReadCart, { seen, key }: { readonly seen: SeenVersion; readonly key: ResourceKey }): boolean {
  const isKnown = key.isIn(cart.keys ?? []);
  if (isKnown) seen.comparedBefore();
  return isKnown;
}

function notFound(): Error {
  return refuse({ reason: "NOT_FOUND", code: "not_found", message: "There is no such cart" });
}
