import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Cart } from "@kontor/contracts/gen/kontor/carts/v1/carts_pb.js";
import type { Documents } from "@kontor/platform/documents/documents.ts";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import { testCall } from "@kontor/platform/testing/test-services.ts";
import { openTestCarts } from "./open-test-carts.ts";
import type { TestCarts } from "./open-test-carts.ts";

const keyed = (idempotencyKey: string, id?: string) => testCall({ idempotencyKey, ...(id !== undefined && { user: { id } }) });
const lines = ({ lines: all }: Cart) => all.map(({ sku, quantity }) => [sku, quantity]);
const reused = { reason: "IDEMPOTENCY_KEY_REUSED" };
const conflict = { reason: "VERSION_CONFLICT" };

async function withCart(app: TestCarts): Promise<string> {
  for (const sku of ["A", "B"]) app.sell(sku, "1.50");
  return (await app.client.createCart({ currency: "EUR", lines: [{ sku: "A", quantity: 1 }] }, testCall())).id;
}

describe("carts: idempotency keys", () => {
  it("CART-01: a repeated addition adds nothing, also when it comes at the same time, later, or after the goods are gone", async () => {
    const app = await openTestCarts();
    const { client } = app;
    const cart = await withCart(app);
    const add = (key: string, quantity = 2) => client.addLine({ cart, sku: "B", quantity, version: 1 }, keyed(key));
    const both = await Promise.all([add("one"), add("one")]);
    for (const answer of [...both, await add("one")]) assert.deepEqual([lines(answer), answer.version], [[["A", 1], ["B", 2]], 2]); // prettier-ignore
    app.stopSelling("B");
    assert.equal((await add("one")).version, 2);
    await assert.rejects(add("one", 3), reused);
    await assert.rejects(
      client.deleteLine({ cart, line: "lin_none" }, keyed("x")).then(() => add("two")),
      { reason: "SKU_NOT_FOUND" },
    );
    app.sell("B", "1.50");
    await assert.rejects(add("two"), conflict);
    assert.equal((await client.addLine({ cart, sku: "B", quantity: 2 }, keyed("two"))).lines[1]?.quantity, 4);
  });

  it("CART-01: another cart, and another customer of a guest's cart, have keys of their own", async () => {
    const app = await openTestCarts();
    const { client } = app;
    const [one, other] = [await withCart(app), await withCart(app)];
    for (const cart of [one, other]) await client.addLine({ cart, sku: "B", quantity: 1 }, keyed("same"));
    await client.addLine({ cart: one, sku: "B", quantity: 1 }, keyed("same", "usr_1"));
    const quantities = await Promise.all([one, other].map(async (cart) => (await client.getCart({ cart }, testCall())).lines[1]?.quantity));
    assert.deepEqual(quantities, [2, 1]);
  });

  it("a quantity is set, a line removed and a cart merged once per key", async () => {
    const app = await openTestCarts();
    const { client } = app;
    const cart = await withCart(app);
    const [line] = (await client.getCart({ cart }, testCall())).lines;
    const set = (quantity: number) => client.updateLine({ cart, line: line!.id, quantity }, keyed("set"));
    await set(5);
    await client.updateLine({ cart, line: line!.id, quantity: 7 }, keyed("later"));
    assert.deepEqual(lines(await set(5)), [["A", 7]], "a late repeat does not undo what came after it");
    await assert.rejects(set(6), reused);
    const from = await withCart(app);
    const merge = (source: string) => client.mergeCart({ cart, from: source }, keyed("merge", "usr_1"));
    for (const _ of [1, 2]) assert.deepEqual(lines(await merge(from)), [["A", 8]]);
    await assert.rejects(merge("crt_other"), reused);
    for (const _ of [1, 2]) await client.deleteLine({ cart, line: line!.id }, keyed("delete", "usr_1"));
    await assert.rejects(client.deleteLine({ cart, line: "lin_other" }, keyed("delete", "usr_1")), reused);
    assert.deepEqual(lines(await client.getCart({ cart }, keyed("read", "usr_1"))), []);
  });

  it("R5: when the store does not say whether the write came, the repeat finds it", async () => {
    let isLost = false;
    const losing = (documents: Documents): Documents => ({
      collection: (name) => {
        const collection = documents.collection<never>(name);
        const put: typeof collection.put = async (...options) => {
          const version = await collection.put(...options);
          if (isLost) throw refuse({ reason: "DEPENDENCY_UNAVAILABLE", code: "unavailable" });
          return version;
        };
        return { ...collection, put };
      },
    });
    const app = await openTestCarts({ documents: losing });
    const cart = await withCart(app);
    const add = () => app.client.addLine({ cart, sku: "B", quantity: 2 }, keyed("lost"));
    isLost = true;
    await assert.rejects(add(), { reason: "DEPENDENCY_UNAVAILABLE" });
    isLost = false;
    assert.deepEqual(lines(await add()), [["A", 1], ["B", 2]]); // prettier-ignore
  });

  it("a cart remembers the keys of its last 100 changes", async () => {
    const app = await openTestCarts();
    const cart = await withCart(app);
    const add = (nth: number) => app.client.addLine({ cart, sku: "B", quantity: 1 }, keyed(`key-${nth}`));
    for (let nth = 0; nth <= 100; nth++) await add(nth);
    const { version } = await add(1);
    assert.equal(version, 102);
    assert.equal((await add(0)).version, 103);
  });
});
