import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { before, describe, it } from "node:test";
import { asOperator } from "./operator.ts";
import { startShop } from "./shop-process.ts";
import type { ShopProcess } from "./shop-process.ts";
import type { Shopper } from "./shopper.ts";
import { startTimeout, suiteTimeoutMs } from "./topologies.ts";

const file = `Handle,Title,Vendor,Variant SKU,Variant Barcode,Variant Inventory Tracker,Variant Inventory Policy,Variant Inventory Qty,Variant Price
voucher,Gift voucher,Shop,UT-1,,,continue,,20.00
backorder,Backorder chair,Shop,UT-2,,shopify,continue,0,90.00
chair,Chair,Shop,CH-1,4006381333931,shopify,deny,10,90.00
cn-tea,正山小种红茶茶叶,Shop,TEA-1,,shopify,deny,10,5.00
sample,Sample,Shop,FREE-1,,shopify,deny,10,0.00
`;

describe("a shop with an imported catalogue", { timeout: suiteTimeoutMs }, () => {
  let shop: ShopProcess;
  let ada: Shopper;
  let boss: Shopper;

  before(async () => {
    shop = await startShop();
    const path = join(shop.folder, "products.csv");
    await writeFile(path, file);
    const imported = await shop.run(["import", "shopify", path, "--currency", "EUR"]);
    assert.equal(imported.code, 0, imported.output);
    [ada, boss] = await asOperator(shop.environment, async (operator) => {
      const [customer] = await operator.shoppers(shop, 1);
      const [admin] = await operator.shoppers(shop, 1, ["admin"]);
      return [customer!, admin!] as const;
    });
  }, startTimeout);

  /** Reads until what is read has come from another service. */
  async function until<T>(read: () => Promise<T>, holds: (found: T) => boolean): Promise<T> {
    for (;;) {
      const found = await read();
      if (holds(found)) return found;
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
  }

  it("INV-01 ORD-01: takes orders of what is not counted and of backorders, and says of a line that it has too many", async () => {
    const chairs = async () => {
      const lines = [{ sku: "CH-1", quantity: 11 }];
      return (await ada.expect(201, "POST", "/v1/carts", { json: { currency: "EUR", lines } })).body.lines[0];
    };
    const line = await until(chairs, ({ available }) => available !== true);
    assert.deepEqual([line.unitsAvailable, line.unitPrice.amount], [10, "90.00"]);
    const { body: order } = await ada.order([
      { sku: "UT-1", quantity: 3 },
      { sku: "UT-2", quantity: 2 },
    ]);
    assert.equal(order.status, "PENDING", JSON.stringify(order));
    await ada.pay(order.payment.url);
    await ada.until(order.id, "PAID");
    const { body: refused } = await ada.order([{ sku: "CH-1", quantity: 11 }]);
    assert.equal(refused.reason, "OUT_OF_STOCK");
    const stock = async () => (await boss.expect(200, "GET", "/v1/stock?sku=UT-2")).body.items[0];
    const chair = await until(stock, ({ onHand }) => onHand === -2);
    assert.deepEqual([chair.available, chair.policy], [-2, "BACKORDER"]);
  });

  it("ORD-01: an order without anything to pay is PAID when it is placed", async () => {
    const { status, body } = await ada.order([{ sku: "FREE-1", quantity: 1 }]);
    assert.deepEqual([status, body.status, body.total.amount, body.payment.url], [201, "PAID", "0.00", undefined]);
  });

  it("CAT-06: finds the catalogue in its own words", async () => {
    const found = async (q: string) => (await ada.expect(200, "GET", `/v1/products?q=${encodeURIComponent(q)}`)).body.items;
    for (const [q, handle] of [
      ["红茶", "cn-tea"],
      ["茶", "cn-tea"],
      ["4006381333931", "chair"],
    ] as const) {
      const items = await until(
        () => found(q),
        (all) => all.length > 0,
      );
      assert.deepEqual(
        items.map((item: { handle: string }) => item.handle),
        [handle],
      );
    }
  });

  it("CAT-04 CAT-03: refuses no name that was not sent", async () => {
    const product = (title: string, sku: string) => ({ json: { title, variants: [{ sku, price: { currency: "EUR", amount: "1.00" } }] } });
    const handles: string[] = [];
    for (const [at, title] of ["😀😀", "---", "Two shirts", "Two shirts"].entries())
      handles.push((await boss.expect(201, "POST", "/v1/products", product(title, `NAME-${at}`))).body.handle);
    assert.equal(new Set(handles).size, 4);
    assert.deepEqual(handles.slice(2), ["two-shirts", "two-shirts-2"]);
    for (const name of ["Größe", "Grosse"]) await boss.expect(201, "POST", "/v1/categories", { json: { name } });
    const sent = await boss.expect(409, "POST", "/v1/products", { json: { ...product("Other", "NAME-9").json, handle: "two-shirts" } });
    assert.equal(sent.body.reason, "HANDLE_TAKEN");
  });

  it("I1 I2 I3 I4: holds all that must hold", async () => {
    const { code, output } = await shop.run(["verify"]);
    assert.equal(code, 0, output);
  });
});
