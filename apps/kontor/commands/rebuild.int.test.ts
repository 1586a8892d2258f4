import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { catalog } from "@kontor/catalog";
import { isUntouched } from "@kontor/catalog/src/is-untouched.ts";
import { catalogRebuild } from "@kontor/catalog/src/rebuild.ts";
import { CatalogService } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import { InventoryService, MovementKind } from "@kontor/contracts/gen/kontor/inventory/v1/inventory_pb.js";
import { OrdersService } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import { contracts } from "@kontor/contracts/registry.ts";
import { inventory } from "@kontor/inventory";
import { inventoryRebuild } from "@kontor/inventory/src/rebuild.ts";
import { orders } from "@kontor/orders";
import { ordersRebuild } from "@kontor/orders/src/rebuild.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import { fakeService } from "@kontor/platform/testing/fake-service.ts";
import { openTestServices, testCall } from "@kontor/platform/testing/test-services.ts";
import { seedDemo } from "../demo/seed-demo.ts";

/** Whose log inventory reads: here nothing happens in it. */
const silentOrders = fakeService("orders");
const admin = () => testCall({ user: { id: "usr_admin", roles: ["admin"] } });
const all = 1_000;

describe("rebuilding from events", () => {
  it("CON-03: rebuilds the emptied search index and the copy of the stock figures", async () => {
    const { clients, settle, services } = await openTestServices({ services: [catalog, inventory, silentOrders], registry: contracts });
    const { database, tasks } = services.get("catalog")!;
    assert.equal(await isUntouched(database), true);
    await seedDemo(clients);
    assert.equal(await isUntouched(database), false);
    await settle();
    const products = clients.of("catalog", CatalogService);
    const look = async () => ({
      found: (await products.listProducts({ q: "tea", limit: 50 }, testCall())).items.map(({ handle }) => handle),
      figures: await database.rows(sql`select sku, available, version from availability order by sku`),
    });
    const before = await look();
    assert.ok(before.found.length > 5 && before.figures.length > 50);
    // A figure of which no event says anything is missing afterwards.
    await database.run(sql`insert into availability values ('GHOST', 7, 1)`);
    await database.run(sql`update availability set available = 99 where sku = 'PEN-BRASS'`);
    for (let time = 1; time <= 2; time++) {
      const call = testCall({ timeoutMs: 60_000 });
      const filled = await catalogRebuild.refill!({ database, tasks }, call);
      assert.match(filled, /^search index rebuilt with 41 products;/, `time ${time}`);
      await settle();
      assert.deepEqual(await look(), before);
    }
  });

  it("CAT-10: a product's last event is its current row, after each kind of change; a difference is found", async () => {
    const { clients, services, settle } = await openTestServices({ services: [catalog, inventory, silentOrders], registry: contracts });
    const { database } = services.get("catalog")!;
    await seedDemo(clients);
    const products = clients.of("catalog", CatalogService);
    const { id } = await products.getProduct({ product: "salt-pig" }, admin());
    await products.updateProduct({ product: id, updateMask: { paths: ["title"] }, title: "Salt Cellar" }, admin());
    await products.archiveProduct({ product: id }, admin());
    const gone = await products.getProduct({ product: "brass-pen" }, admin());
    await products.deleteProduct({ product: gone.id }, admin());
    await settle();
    const same = await catalogRebuild.compare(database, "", all);
    assert.deepEqual([same?.compared, same?.differences], [41, []]);
    assert.equal(await catalogRebuild.compare(database, same!.last, all), undefined);
    let paged = 0;
    for (let after = ""; ;) {
      const page = await catalogRebuild.compare(database, after, 7);
      if (page === undefined) break;
      paged += page.compared;
      after = page.last;
    }
    assert.equal(paged, 41);

    const other = await products.getProduct({ product: "herring-dish" }, admin());
    await database.run(sql`update products set state = (select state from products where id = ${other.id}) where id = ${id}`);
    await database.run(sql`delete from variants where sku = 'BOWL-BREAKFAST'`);
    await database.run(sql`delete from products where handle = 'ship-biscuit'`);
    const differences = (await catalogRebuild.compare(database, "", all))!.differences.join("\n");
    assert.match(differences, new RegExp(`${id} is not stored as its last event says`));
    assert.match(differences, /has the SKUs {2}stored, and BOWL-BREAKFAST in its last event/);
    assert.match(differences, /is not stored, and its last event is catalog\.product\.created/);
    assert.equal(differences.split("\n").length, 3);
  });

  it("INV-01: stock is what its last event and its movements say; a difference is found", async () => {
    const { clients, services } = await openTestServices({ services: [inventory], registry: contracts });
    const { database } = services.get("inventory")!;
    const stocks = clients.of("inventory", InventoryService);
    await stocks.importStock({ stock: ["A", "B", "C", "D"].map((sku, at) => ({ sku, onHand: at * 10 })) }, testCall());
    await stocks.createMovement({ sku: "B", kind: MovementKind.WRITTEN_OFF, quantity: 1 }, admin());
    await stocks.reserve(
      { order: "ord_1", lines: [{ sku: "C", quantity: 5 }], expiresAt: { seconds: 1_900_000_000n, nanos: 0 } },
      testCall(),
    );
    assert.deepEqual((await inventoryRebuild.compare(database, "", all))?.differences, []);
    await database.run(sql`update stock set reserved = 4 where sku = 'C'`);
    await database.run(sql`update stock set on_hand = 31 where sku = 'D'`);
    await database.run(sql`delete from stock where sku = 'B'`);
    assert.deepEqual((await inventoryRebuild.compare(database, "", all))?.differences, [
      "B is not stored, and has events",
      "C has 20 units and 4 of them reserved, and its last event says 20 and 5",
      "D has 31 units stored, and its movements sum to 30",
    ]);
  });

  it("an order is what its last event says; a difference is found", async () => {
    const { clients, services } = await openTestServices({ services: [orders], registry: contracts });
    const { database } = services.get("orders")!;
    const client = clients.of("orders", OrdersService);
    const money = { currency: "EUR", amount: "5.00" };
    const place = (order: string) =>
      client.createOrder(
        {
          order,
          customer: "usr_1",
          lines: [{ sku: "A", quantity: 1, unitPrice: money, total: money }],
          payment: `pay_${order}`,
          paymentSecret: `pp_${order}`,
        },
        testCall(),
      );
    await place("ord_1");
    await place("ord_2");
    // One that was taken back before it was made has a row and no events.
    await client.voidOrder({ order: "ord_3" }, testCall());
    const same = await ordersRebuild.compare(database, "", all);
    assert.deepEqual([same?.compared, same?.differences], [3, []]);
    await database.run(sql`update orders set customer = 'usr_2' where id = 'ord_1'`);
    await database.run(sql`delete from orders where id = 'ord_2'`);
    assert.deepEqual((await ordersRebuild.compare(database, "", all))?.differences, [
      "ord_1 has other columns than its last event says",
      "ord_2 is not stored, and has events",
    ]);
  });
});
