import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { sql } from "@kontor/platform/database/sql.ts";
import type { Documents } from "@kontor/platform/documents/documents.ts";
import { refusalIn } from "@kontor/platform/errors/refusal.ts";
import { cartKey } from "./cart.ts";
import { elsewhere, guest, openTestCarts, user } from "./open-test-carts.ts";
import type { TestCartsOptions } from "./open-test-carts.ts";

const dayMs = 24 * 3_600_000;

function refused(reason: string, field?: string): (error: unknown) => boolean {
  return (error) => refusalIn(error)?.reason === reason && (field === undefined || refusalIn(error)?.fields[0]?.field === field);
}

describe("carts", () => {
  it("CART-01: lines are added, changed and removed, and the totals are the catalogue's prices now", async () => {
    const { client, sell, stopSelling } = await openTestCarts();
    sell("A", "19.99");
    sell("B", "0.10");
    const { id, version } = await client.createCart({ currency: "EUR", lines: [{ sku: "A", quantity: 1 }] }, guest());
    assert.equal(version, 1);
    const added = await client.addLine({ cart: id, sku: "B", quantity: 3 }, guest());
    assert.deepEqual(
      added.lines.map(({ sku, quantity, total, title, available }) => [sku, quantity, total?.amount, title, available]),
      [
        ["A", 1, "19.99", "The A", true],
        ["B", 3, "0.30", "The B", true],
      ],
    );
    assert.deepEqual([added.total?.amount, added.total?.currency, added.version], ["20.29", "EUR", 2]);

    const more = await client.addLine({ cart: id, sku: "A", quantity: 1 }, guest());
    assert.deepEqual(
      more.lines.map(({ quantity }) => quantity),
      [2, 3],
    );
    sell("A", "10.00");
    assert.equal((await client.getCart({ cart: id }, guest())).total?.amount, "20.30");
    const changed = await client.updateLine({ cart: id, line: more.lines[1]!.id, quantity: 1 }, guest());
    assert.deepEqual([changed.total?.amount, changed.version], ["20.10", 4]);

    stopSelling("A");
    const after = await client.getCart({ cart: id }, guest());
    assert.deepEqual(
      after.lines.map(({ sku, available, unitPrice }) => [sku, available, unitPrice?.amount]),
      [
        ["A", false, undefined],
        ["B", true, "0.10"],
      ],
    );
    assert.equal(after.total?.amount, "0.10");
    await client.deleteLine({ cart: id, line: more.lines[0]!.id }, guest());
    await client.deleteLine({ cart: id, line: more.lines[0]!.id }, guest());
    const left = await client.getCart({ cart: id }, guest());
    assert.deepEqual([left.lines.length, left.version], [1, 5]);
    await client.deleteCart({ cart: id }, guest());
    await client.deleteCart({ cart: id }, guest());
    await assert.rejects(client.getCart({ cart: id }, guest()), refused("NOT_FOUND"));
  });

  it("calls the catalogue once for each response", async () => {
    const { client, sell, priced } = await openTestCarts();
    for (const sku of ["A", "B"]) sell(sku, "1.00");
    const { id } = await client.createCart({ currency: "EUR", lines: [{ sku: "A", quantity: 1 }] }, guest());
    await client.addLine({ cart: id, sku: "B", quantity: 1 }, guest());
    await client.getCart({ cart: id }, guest());
    assert.deepEqual(priced, [["A"], ["A", "B"], ["A", "B"]]);
  });

  it("a SKU that is twice in a new cart is one line", async () => {
    const { client, sell } = await openTestCarts();
    sell("A", "1.00");
    const { lines } = await client.createCart(
      {
        currency: "EUR",
        lines: [
          { sku: "A", quantity: 1 },
          { sku: "A", quantity: 2 },
        ],
      },
      guest(),
    );
    assert.deepEqual(
      lines.map(({ quantity }) => quantity),
      [3],
    );
  });

  it("names the field of a SKU that cannot be bought, or not in this currency", async () => {
    const { client, sell } = await openTestCarts();
    sell("A", "1.00");
    sell("YEN", "100", "JPY");
    const create = (...skus: string[]) => client.createCart({ currency: "EUR", lines: skus.map((sku) => ({ sku, quantity: 1 })) }, guest());
    await assert.rejects(create("A", "NONE"), refused("SKU_NOT_FOUND", "lines[1].sku"));
    await assert.rejects(create("A", "YEN"), refused("CURRENCY_MISMATCH", "lines[1].sku"));
    await assert.rejects(client.createCart({ currency: "XXY", lines: [] }, guest()), refused("INVALID_REQUEST", "currency"));
    const { id } = await create("A");
    await assert.rejects(client.addLine({ cart: id, sku: "NONE", quantity: 1 }, guest()), refused("SKU_NOT_FOUND", "sku"));
    await assert.rejects(client.addLine({ cart: id, sku: "YEN", quantity: 1 }, guest()), refused("CURRENCY_MISMATCH", "sku"));
    await assert.rejects(client.addLine({ cart: id, sku: "A", quantity: 0 }, guest()), refused("INVALID_REQUEST", "quantity"));
    await assert.rejects(client.addLine({ cart: id, sku: "A", quantity: 10_001 }, guest()), refused("INVALID_REQUEST", "quantity"));
    await assert.rejects(client.addLine({ cart: id, sku: "A", quantity: 10_000 }, guest()), refused("CART_FULL"));
    assert.deepEqual(
      (await client.getCart({ cart: id }, guest())).lines.map(({ sku, quantity }) => [sku, quantity]),
      [["A", 1]],
    );
  });

  it("100 lines added at the same time are all counted, and each response has the lines of its version", async () => {
    const { client, sell } = await openTestCarts();
    for (let at = 0; at < 5; at++) sell(`S${at}`, "1.00");
    const { id } = await client.createCart({ currency: "EUR" }, guest());
    const carts = await Promise.all(
      Array.from({ length: 100 }, (_, at) => client.addLine({ cart: id, sku: `S${at % 5}`, quantity: 1 }, guest())),
    );
    const cart = await client.getCart({ cart: id }, guest());
    assert.deepEqual(
      cart.lines.map(({ quantity }) => quantity),
      [20, 20, 20, 20, 20],
    );
    assert.equal(cart.version, 101);
    assert.deepEqual(
      carts.map(({ version }) => version).sort((a, b) => a - b),
      Array.from({ length: 100 }, (_, at) => at + 2),
    );
    for (const { version, total, lines } of carts) {
      assert.equal(
        lines.reduce((sum, { quantity }) => sum + quantity, 0),
        version - 1,
      );
      assert.equal(total?.amount, `${version - 1}.00`);
    }
  });

  it("two processes change a cart a hundred times at once, and no change is lost", async () => {
    let shared: Documents | undefined;
    const open = async () => {
      const shop = await openTestCarts({ documents: (plain) => (shared ??= plain) });
      shop.sell("A", "1.00");
      return shop.client;
    };
    const clients = [await open(), await open()];
    const { id } = await clients[0]!.createCart({ currency: "EUR" }, guest());
    await Promise.all(Array.from({ length: 100 }, (_, at) => clients[at % 2]!.addLine({ cart: id, sku: "A", quantity: 1 }, guest())));
    const { lines, version } = await clients[1]!.getCart({ cart: id }, guest());
    assert.deepEqual([lines[0]?.quantity, version], [100, 101]);
  });

  it("a change that saw another version is refused with the current one", async () => {
    const { client, sell } = await openTestCarts();
    sell("A", "1.00");
    const cart = await client.createCart({ currency: "EUR", lines: [{ sku: "A", quantity: 1 }] }, guest());
    const line = cart.lines[0]!.id;
    await client.updateLine({ cart: cart.id, line, version: 1, quantity: 2 }, guest());
    const stale = (error: unknown) => refused("VERSION_CONFLICT")(error) && refusalIn(error)?.details["version"] === 2;
    await assert.rejects(client.updateLine({ cart: cart.id, line, version: 1, quantity: 9 }, guest()), stale);
    await assert.rejects(client.addLine({ cart: cart.id, sku: "A", version: 1, quantity: 9 }, guest()), stale);
    // A version that is still to come is stale too, whatever is written meanwhile.
    await assert.rejects(client.addLine({ cart: cart.id, sku: "A", version: 3, quantity: 9 }, guest()), stale);
    const both = await Promise.allSettled(
      [3, 4].map((quantity) => client.updateLine({ cart: cart.id, line, version: 2, quantity }, guest())),
    );
    assert.deepEqual(
      both.map(({ status }) => status),
      ["fulfilled", "rejected"],
    );
    assert.equal((await client.getCart({ cart: cart.id }, guest())).lines[0]?.quantity, 3);
    await assert.rejects(client.updateLine({ cart: cart.id, line: "lin_none", quantity: 1 }, guest()), refused("NOT_FOUND"));
  });

  it("CART-02: a cart lives for 30 days from its last change, and is removed some time after", async () => {
    const { client, sell, clock, pass, database } = await openTestCarts();
    sell("A", "1.00");
    const { id, expiresAt } = await client.createCart({ currency: "EUR", lines: [{ sku: "A", quantity: 1 }] }, guest());
    assert.equal(Number(expiresAt?.seconds) * 1000, clock.now().getTime() + 30 * dayMs);
    await pass(29 * dayMs);
    await client.addLine({ cart: id, sku: "A", quantity: 1 }, guest());
    await pass(30 * dayMs - 1);
    assert.equal((await client.getCart({ cart: id }, guest())).lines[0]?.quantity, 2);
    clock.advance(1);
    await assert.rejects(client.getCart({ cart: id }, guest()), refused("NOT_FOUND"));
    await assert.rejects(client.addLine({ cart: id, sku: "A", quantity: 1 }, guest()), refused("NOT_FOUND"));
    await pass(3_600_000);
    assert.deepEqual(await database.rows(sql`select id from documents`), []);
  });

  it("ID-14: a taken cart is its account's only; a guest's is for everyone who knows its id", async () => {
    const { client, sell } = await openTestCarts();
    sell("A", "1.00");
    const lines = [{ sku: "A", quantity: 1 }];
    const own = await client.createCart({ currency: "EUR", lines }, user("usr_a"));
    assert.equal(own.customer, "usr_a");
    const line = own.lines[0]!.id;
    const other = await client.createCart({ currency: "EUR", lines }, user("usr_b"));
    for (const stranger of [() => user("usr_b"), guest])
      for (const attempt of [
        () => client.getCart({ cart: own.id }, stranger()),
        () => client.deleteCart({ cart: own.id }, stranger()),
        () => client.addLine({ cart: own.id, sku: "A", quantity: 1 }, stranger()),
        () => client.updateLine({ cart: own.id, line, quantity: 5 }, stranger()),
        () => client.deleteLine({ cart: own.id, line }, stranger()),
      ])
        await assert.rejects(attempt, refused("NOT_FOUND"));
    await assert.rejects(client.getCartForCheckout({ cart: own.id }, user("usr_b")), refused("NOT_FOUND"));
    await assert.rejects(client.mergeCart({ cart: other.id, from: own.id }, user("usr_b")), refused("INVALID_REQUEST", "from"));
    await assert.rejects(client.mergeCart({ cart: own.id, from: other.id }, user("usr_b")), refused("NOT_FOUND"));
    assert.deepEqual(await client.getCart({ cart: own.id }, user("usr_a")), own);

    const shared = await client.createCart({ currency: "EUR", lines }, guest());
    assert.equal(shared.customer, undefined);
    assert.equal((await client.addLine({ cart: shared.id, sku: "A", quantity: 1 }, user("usr_b"))).customer, undefined);
    assert.equal((await client.getCart({ cart: shared.id }, guest())).lines[0]?.quantity, 2);
  });

  it("ID-14: checkout takes a guest's cart for the account, once, and gives its content under a key that gives no access to it", async () => {
    const { client, sell } = await openTestCarts();
    sell("A", "1.00");
    const { id } = await client.createCart({ currency: "EUR", lines: [{ sku: "A", quantity: 2 }] }, guest());
    await assert.rejects(client.getCartForCheckout({ cart: id }, guest()), refused("UNAUTHENTICATED"));
    const content = await Promise.all(Array.from({ length: 20 }, () => client.getCartForCheckout({ cart: id }, user("usr_a"))));
    for (const { key, currency, lines } of content) {
      assert.deepEqual([key, currency], [cartKey(id), "EUR"]);
      assert.deepEqual(
        lines.map(({ sku, quantity }) => [sku, quantity]),
        [["A", 2]],
      );
    }
    await assert.rejects(client.getCart({ cart: content[0]!.key }, user("usr_a")), refused("NOT_FOUND"));
    await assert.rejects(client.getCart({ cart: id }, guest()), refused("NOT_FOUND"));
    await assert.rejects(client.getCartForCheckout({ cart: id }, user("usr_b")), refused("NOT_FOUND"));
    const { customer, version } = await client.getCart({ cart: id }, user("usr_a"));
    assert.deepEqual([customer, version], ["usr_a", 2]);
  });

  it("of two accounts that take a guest's cart at the same time one gets it", async () => {
    const { client, sell } = await openTestCarts();
    sell("A", "1.00");
    for (let nth = 0; nth < 10; nth++) {
      const { id } = await client.createCart({ currency: "EUR", lines: [{ sku: "A", quantity: 1 }] }, guest());
      const taken = await Promise.allSettled(["usr_a", "usr_b"].map((account) => client.getCartForCheckout({ cart: id }, user(account))));
      assert.deepEqual(taken.map(({ status }) => status).toSorted(), ["fulfilled", "rejected"]);
    }
  });

  for (const [where, options] of Object.entries<TestCartsOptions>({ "in it": {}, "in another store": { documents: elsewhere } }))
    it(`a cart's id, which gives access to it, is nowhere in the database, where carts are ${where}`, () => hidesIds(options));
});

async function hidesIds(options: TestCartsOptions): Promise<void> {
  const { client, sell, paid, settle, database } = await openTestCarts(options);
  sell("A", "1.00");
  const lines = [{ sku: "A", quantity: 1 }];
  const guests = await client.createCart({ currency: "EUR", lines }, guest());
  const own = await client.createCart({ currency: "EUR", lines }, user("usr_a"));
  const merged = await client.createCart({ currency: "EUR", lines }, guest());
  await client.addLine({ cart: guests.id, sku: "A", quantity: 1 }, guest());
  await client.mergeCart({ cart: own.id, from: merged.id }, user("usr_a"));
  const { key, version } = await client.getCartForCheckout({ cart: own.id }, user("usr_a"));
  await paid(key, { version, lines: [["A", 2]] });
  await settle();
  const tables = await database.rows<{ name: string }>(
    sql`select table_name as name from information_schema.tables where table_schema = 'public'`,
  );
  let found = "";
  for (const { name } of tables) found += JSON.stringify(await database.rows(sql`select t::text as row from ${sql.name(name)} t`));
  const holds = (text: string) => found.includes(text) || found.includes(Buffer.from(text).toString("hex"));
  assert.ok(holds(cartKey(guests.id)), "the scan sees what is there");
  // Of the cart that was ordered nothing is left, but for the task that has removed it where that is one.
  assert.equal(holds(key), options.documents !== undefined);
  for (const { id } of [guests, own, merged]) assert.equal(holds(id.slice(4)), false);
}
