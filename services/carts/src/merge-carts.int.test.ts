import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Collection, Documents } from "@kontor/platform/documents/documents.ts";
import { refusalIn, refuse } from "@kontor/platform/errors/refusal.ts";
import { guest, openTestCarts, user } from "./open-test-carts.ts";
import type { TestCarts } from "./open-test-carts.ts";

function refused(reason: string): (error: unknown) => boolean {
  return (error) => refusalIn(error)?.reason === reason;
}

/** Documents whose writes stop working after some, before they are done or just after. */
function failing(): { readonly documents: (plain: Documents) => Documents; fail(after: number, done: boolean): void; mend(): void } {
  let left = Infinity;
  let doneFirst = false;
  const write = async <T>(work: () => Promise<T>): Promise<T> => {
    const unavailable = () => refuse({ reason: "DEPENDENCY_UNAVAILABLE", code: "unavailable" });
    if (left <= 0) {
      if (doneFirst && left === 0) {
        left--;
        await work();
      }
      throw unavailable();
    }
    left--;
    return work();
  };
  const wrapped = <Body>(plain: Collection<Body>): Collection<Body> => ({
    ...plain,
    put: (id, body, options) => write(() => plain.put(id, body, options)),
    delete: (id) => write(() => plain.delete(id)),
  });
  return {
    documents: (plain) => ({ collection: (name) => wrapped(plain.collection(name)) }),
    fail: (after, done) => {
      left = after;
      doneFirst = done;
    },
    mend: () => (left = Infinity),
  };
}

async function two({ client, sell }: TestCarts): Promise<{ readonly into: string; readonly from: string }> {
  sell("A", "1.00");
  sell("B", "2.00");
  const own = await client.createCart({ currency: "EUR", lines: [{ sku: "A", quantity: 1 }] }, user("usr_a"));
  const guests = await client.createCart(
    {
      currency: "EUR",
      lines: [
        { sku: "A", quantity: 2 },
        { sku: "B", quantity: 3 },
      ],
    },
    guest(),
  );
  return { into: own.id, from: guests.id };
}

describe("merging carts", () => {
  it("CART-02: a guest's cart comes into the account's on signing in; a repeat adds nothing", async () => {
    const shop = await openTestCarts();
    const { into, from } = await two(shop);
    const merge = () => shop.client.mergeCart({ cart: into, from }, user("usr_a"));
    const merged = await merge();
    assert.deepEqual(
      merged.lines.map(({ sku, quantity }) => [sku, quantity]),
      [
        ["A", 3],
        ["B", 3],
      ],
    );
    assert.deepEqual([merged.total?.amount, merged.customer], ["9.00", "usr_a"]);
    await assert.rejects(shop.client.getCart({ cart: from }, guest()), refused("NOT_FOUND"));
    assert.deepEqual(await merge(), merged);
    await assert.rejects(
      merge().then(() => shop.client.mergeCart({ cart: into, from }, guest())),
      refused("UNAUTHENTICATED"),
    );
    await assert.rejects(shop.client.mergeCart({ cart: into, from: "crt_none" }, user("usr_a")), refused("INVALID_REQUEST"));
    await assert.rejects(shop.client.mergeCart({ cart: "crt_none", from: into }, user("usr_a")), refused("NOT_FOUND"));
  });

  it("a cart merged into a guest's makes that the account's; one merged into itself is only taken", async () => {
    const shop = await openTestCarts();
    const { into, from } = await two(shop);
    const merged = await shop.client.mergeCart({ cart: from, from: into }, user("usr_a"));
    assert.deepEqual([merged.customer, merged.lines.map(({ quantity }) => quantity)], ["usr_a", [3, 3]]);
    const self = await shop.client.mergeCart({ cart: from, from }, user("usr_a"));
    assert.deepEqual(self.lines, merged.lines);
    const guests = await shop.client.createCart({ currency: "EUR", lines: [{ sku: "A", quantity: 2 }] }, guest());
    const taken = await shop.client.mergeCart({ cart: guests.id, from: guests.id }, user("usr_a"));
    assert.deepEqual([taken.customer, taken.lines[0]?.quantity], ["usr_a", 2]);
  });

  it("merges once when it is requested many times at once, and into one cart only", async () => {
    const shop = await openTestCarts();
    const { into, from } = await two(shop);
    const other = await shop.client.createCart({ currency: "EUR" }, user("usr_a"));
    await Promise.allSettled(
      Array.from({ length: 12 }, (_, at) => shop.client.mergeCart({ cart: at % 2 === 0 ? into : other.id, from }, user("usr_a"))),
    );
    const [first, second] = await Promise.all([into, other.id].map((cart) => shop.client.getCart({ cart }, user("usr_a"))));
    const units = (cart: typeof first) => cart!.lines.reduce((sum, { quantity }) => sum + quantity, 0);
    assert.equal(units(first) + units(second), 6);
    await assert.rejects(shop.client.getCart({ cart: from }, user("usr_a")), refused("NOT_FOUND"));
  });

  it("loses no line that is added to either cart meanwhile", async () => {
    const shop = await openTestCarts();
    for (let nth = 0; nth < 10; nth++) {
      const { into, from } = await two(shop);
      const add = (cart: string) =>
        shop.client.addLine({ cart, sku: "B", quantity: 1 }, user("usr_a")).then(
          () => 1,
          (error: unknown) => (refused("NOT_FOUND")(error) ? 0 : Promise.reject(error)),
        );
      const [, ...added] = await Promise.all([shop.client.mergeCart({ cart: into, from }, user("usr_a")), add(from), add(into), add(from)]);
      const { lines } = await shop.client.getCart({ cart: into }, user("usr_a"));
      const expected = 6 + added.reduce((sum: number, one) => sum + one, 0);
      assert.equal(
        lines.reduce((sum, { quantity }) => sum + quantity, 0),
        expected,
      );
    }
  });

  it("after a crash between any two of its writes a repeat ends it, and no line comes twice or is lost", async () => {
    for (const done of [false, true])
      for (let writes = 0; writes < 3; writes++) {
        const faults = failing();
        const shop = await openTestCarts({ documents: faults.documents });
        const { into, from } = await two(shop);
        faults.fail(writes, done);
        await assert.rejects(shop.client.mergeCart({ cart: into, from }, user("usr_a")), refused("DEPENDENCY_UNAVAILABLE"));
        faults.mend();
        const merged = await shop.client.mergeCart({ cart: into, from }, user("usr_a"));
        assert.deepEqual(
          merged.lines.map(({ sku, quantity }) => [sku, quantity]),
          [
            ["A", 3],
            ["B", 3],
          ],
          `${writes} writes, ${done ? "done" : "not done"}`,
        );
        await assert.rejects(shop.client.getCart({ cart: from }, user("usr_a")), refused("NOT_FOUND"));
      }
  });

  it("a refused merge leaves both as they were, also when it is refused only after a crash", async () => {
    const faults = failing();
    const shop = await openTestCarts({ documents: faults.documents });
    const { into, from } = await two(shop);
    const fill = (quantity: number) => shop.client.updateLine({ cart: into, line: line!.id, quantity }, user("usr_a"));
    const [line] = (await shop.client.getCart({ cart: into }, user("usr_a"))).lines;
    const merge = () => shop.client.mergeCart({ cart: into, from }, user("usr_a"));
    await fill(9_999);
    await assert.rejects(merge(), refused("CART_FULL"));
    const before = await shop.client.getCart({ cart: from }, guest());
    assert.deepEqual([before.version, before.lines.length], [1, 2]);

    await fill(1);
    faults.fail(1, false);
    await assert.rejects(merge(), refused("DEPENDENCY_UNAVAILABLE"));
    faults.mend();
    await assert.rejects(shop.client.getCart({ cart: from }, guest()), refused("NOT_FOUND"));
    await fill(9_999);
    await assert.rejects(merge(), refused("CART_FULL"));
    assert.deepEqual((await shop.client.getCart({ cart: from }, guest())).lines, before.lines);
    assert.equal((await shop.client.getCart({ cart: into }, user("usr_a"))).lines.length, 1);

    shop.sell("D", "1.00", "USD");
    const dollars = await shop.client.createCart({ currency: "USD", lines: [{ sku: "D", quantity: 1 }] }, guest());
    await assert.rejects(shop.client.mergeCart({ cart: into, from: dollars.id }, user("usr_a")), refused("CURRENCY_MISMATCH"));
    assert.deepEqual(await shop.client.getCart({ cart: dollars.id }, guest()), dollars);
  });
});
