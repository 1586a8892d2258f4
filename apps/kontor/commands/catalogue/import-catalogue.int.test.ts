import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { catalog } from "@kontor/catalog";
import { CatalogService, ProductStatus } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import { InventoryService } from "@kontor/contracts/gen/kontor/inventory/v1/inventory_pb.js";
import { contracts } from "@kontor/contracts/registry.ts";
import { inventory } from "@kontor/inventory";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import type { Clients } from "@kontor/platform/rpc/rpc.ts";
import { fakeService } from "@kontor/platform/testing/fake-service.ts";
import { openTestServices, testCall } from "@kontor/platform/testing/test-services.ts";
import { seedDemo } from "../../demo/seed-demo.ts";
import type { Finding } from "../../shopify/findings.ts";
import { readShopifyProducts } from "../../shopify/read-products.ts";
import { importCatalogue } from "./import-catalogue.ts";

/** Whose log inventory reads: here nothing happens in it. */
const silentOrders = fakeService("orders");
const admin = () => testCall({ user: { id: "usr_admin", roles: ["admin"] } });

async function* only(text: string): AsyncGenerator<string> {
  yield text;
}

async function setup() {
  const { clients, settle, services } = await openTestServices({ services: [catalog, inventory, silentOrders], registry: contracts });
  const products = clients.of("catalog", CatalogService);
  const stocks = clients.of("inventory", InventoryService);
  return {
    clients,
    settle,
    services,
    products,
    stocks,
    units: async (...skus: string[]) => {
      const { items } = await stocks.listStock({ sku: skus }, admin());
      return skus.map((sku) => items.find((stock) => stock.sku === sku)?.onHand);
    },
  };
}

async function bring(clients: Clients, text: string, bookDifference = false) {
  const findings: Finding[] = [];
  const report = (finding: Finding): void => void findings.push(finding);
  const tally = await importCatalogue(readShopifyProducts({ chunks: only(text), currency: "EUR", report }), {
    clients,
    bookDifference,
    note: "test",
    report,
  });
  return { tally, findings };
}

const small = `Handle,Title,Type,Option1 Name,Option1 Value,Variant SKU,Variant Price,Variant Inventory Qty,Image Src
lamp,Lamp,Light,Size,Small,LAMP-S,10,3,https://img.example/l.jpg
lamp,,,,Large,LAMP-L,20,0,
wick,Wick,Light,,,,1.50,5,
`;

describe("importing a catalogue", () => {
  it("creates products, variants, categories and stock, and changes nothing when it comes again", async () => {
    const { clients, products, units, stocks, settle } = await setup();
    const first = await bring(clients, small);
    assert.deepEqual(first.tally, {
      accepted: 2,
      created: 2,
      updated: 0,
      unchanged: 0,
      rejected: 0,
      variants: 3,
      generatedSkus: 1,
      booked: 2,
    });
    assert.deepEqual(await units("LAMP-S", "LAMP-L", "wick"), [3, 0, 5]);
    await settle();
    const lamp = await products.getProduct({ product: "lamp" }, testCall());
    assert.deepEqual(
      [lamp.status, lamp.variants.map(({ sku, available }) => [sku, available])],
      [
        ProductStatus.PUBLISHED,
        [
          ["LAMP-S", 3],
          ["LAMP-L", undefined],
        ],
      ],
    );
    const { items: categories } = await products.listCategories({}, testCall());
    assert.deepEqual(
      categories.map(({ name }) => name),
      ["Light"],
    );
    assert.deepEqual(
      (await products.listProducts({ q: "lamps" }, testCall())).items.map(({ handle }) => handle),
      ["lamp"],
    );

    const again = await bring(clients, small);
    assert.deepEqual([again.tally.unchanged, again.tally.booked, again.tally.created, again.tally.updated], [2, 0, 0, 0]);
    const { items: movements } = await stocks.listMovements({ sku: "LAMP-S" }, admin());
    assert.deepEqual(
      movements.map(({ quantity, note, actor }) => [quantity, note, actor]),
      [[3, "test", "test"]],
    );
  });

  it("INV-01: updates products and never stock, unless the difference is to be booked", async () => {
    const { clients, products, units, stocks } = await setup();
    await bring(clients, small);
    const changed = small.replace("Lamp,Light", "Oil Lamp,Light").replace("10,3", "12,8").replace("1.50,5", "1.50,1");
    const updated = await bring(clients, changed);
    assert.deepEqual([updated.tally.updated, updated.tally.unchanged, updated.tally.booked], [1, 1, 0]);
    assert.deepEqual(await units("LAMP-S", "wick"), [3, 5]);
    const lamp = await products.getProduct({ product: "lamp" }, testCall());
    assert.deepEqual([lamp.title, lamp.variants[0]?.price?.amount, lamp.version], ["Oil Lamp", "12.00", 2]);
    const booked = await bring(clients, changed, true);
    assert.deepEqual([booked.tally.unchanged, booked.tally.booked], [2, 2]);
    assert.deepEqual(await units("LAMP-S", "wick"), [8, 1]);
    const { items } = await stocks.listMovements({ sku: "wick" }, admin());
    assert.deepEqual(
      items.map(({ quantity }) => quantity),
      [-4, 5],
    );
  });

  it("rejects a SKU that another product of the shop has, with its line, and books no stock for it", async () => {
    const { clients, products, units } = await setup();
    await bring(clients, small);
    const other = small
      .replaceAll("lamp,", "light,")
      .replace("wick,Wick,Light,,,,1.50", "wick-2,Wick,Light,,,wick,1.50")
      .replace("LAMP-L", "LIGHT-L");
    const { tally, findings } = await bring(clients, other, true);
    assert.deepEqual([tally.created, tally.rejected, tally.variants], [1, 1, 1]);
    assert.deepEqual(
      findings.map(({ line, handle, message }) => [line, handle, message]),
      [
        [2, "light", "another product of the shop has the SKU LAMP-S"],
        [4, "wick-2", "all its SKUs are another product's (SKU_TAKEN)"],
      ],
    );
    const light = await products.getProduct({ product: "light" }, testCall());
    assert.deepEqual(
      light.variants.map(({ sku }) => sku),
      ["LIGHT-L"],
    );
    assert.deepEqual(await units("LAMP-S", "LAMP-L", "wick"), [3, 0, 5]);
  });

  it("what a file says of SKUs holds, also when they move between products of different batches", async () => {
    const { clients, products } = await setup();
    const file = (...rows: (readonly [handle: string, sku: string])[]) => {
      const between = Array.from({ length: 250 }, (_, at) => [`between-${at}`, `BETWEEN-${at}`] as const);
      const all = [rows[0]!, ...between, ...rows.slice(1)];
      return `Handle,Title,Variant SKU,Variant Price\n${all.map(([handle, sku]) => `${handle},${handle},${sku},5\n`).join("")}`;
    };
    await bring(clients, file(["move-a", "MOVE-X"], ["move-b", "MOVE-Y"]));
    const second = file(["move-b", "MOVE-X"], ["move-a", "MOVE-Z"]);
    const { tally, findings } = await bring(clients, second);
    assert.deepEqual([tally.updated, tally.unchanged, tally.rejected, findings], [2, 250, 0, []]);
    const skus = async (handle: string) => (await products.getProduct({ product: handle }, testCall())).variants.map(({ sku }) => sku);
    assert.deepEqual([await skus("move-a"), await skus("move-b")], [["MOVE-Z"], ["MOVE-X"]]);
    const third = await bring(clients, second);
    assert.deepEqual([third.tally.unchanged, third.tally.updated, third.findings], [252, 0, []]);
    const swapped = await bring(clients, file(["move-a", "MOVE-X"], ["move-b", "MOVE-Z"]));
    assert.deepEqual([swapped.tally.updated, swapped.findings], [2, []]);
    assert.deepEqual([await skus("move-a"), await skus("move-b")], [["MOVE-X"], ["MOVE-Z"]]);
  });

  it("imports thousands of rows in batches, and reports its progress", async () => {
    const { clients, products, units, settle } = await setup();
    const count = 1_500;
    async function* rows(): AsyncGenerator<string> {
      yield "Handle,Title,Tags,Option1 Name,Option1 Value,Variant SKU,Variant Price,Variant Inventory Qty\n";
      for (let nth = 1; nth <= count; nth++)
        yield `p-${nth},Thing ${nth},tag ${nth % 7},Size,S,P-${nth}-S,${nth},${nth}\np-${nth},,,,L,P-${nth}-L,1,1\n`;
    }
    const seen: number[] = [];
    const report = (finding: Finding): void => assert.fail(JSON.stringify(finding));
    const read = readShopifyProducts({ chunks: rows(), currency: "EUR", report });
    const tally = await importCatalogue(read, {
      clients,
      bookDifference: false,
      note: "",
      report,
      progressed: (products) => seen.push(products),
    });
    assert.deepEqual([tally.created, tally.variants, tally.booked], [count, 2 * count, 2 * count]);
    assert.deepEqual(
      seen,
      Array.from({ length: 15 }, (_, at) => (at + 1) * 100),
    );
    assert.deepEqual(await units("P-1-S", "P-1500-S", "P-1500-L"), [1, 1500, 1]);
    await settle();
    const found = await products.listProducts({ q: "thing 1234", limit: 1 }, testCall());
    assert.deepEqual(
      found.items.map(({ handle }) => handle),
      ["p-1234"],
    );
  });

  it("repeats a call when it is unknown whether it had its effect", async () => {
    const { clients, units } = await setup();
    const unknown = () => refuse({ reason: "DEPENDENCY_UNAVAILABLE", code: "unavailable" });
    let lost = 0;
    // Answers are lost after the effect, once for each call.
    const losing: Clients = {
      of: (service, contract) => {
        const client = clients.of(service, contract);
        return new Proxy(client, {
          get:
            (target, name) =>
            async (...given: unknown[]) => {
              const answer: unknown = await Reflect.apply(Reflect.get(target, name), target, given);
              if (lost++ % 2 === 0) throw unknown();
              return answer;
            },
        });
      },
    };
    const { tally } = await bring(losing, small, true);
    assert.deepEqual([tally.unchanged, tally.booked], [2, 0], "the second answer says what is there already");
    assert.deepEqual(await units("LAMP-S", "wick"), [3, 5]);
  });

  it("puts the demo catalogue in, which can be bought, and again changes nothing", async () => {
    const { clients, products, settle } = await setup();
    const { created, booked, variants } = await seedDemo(clients);
    assert.equal(booked, variants);
    await settle();
    const { items: coffee } = await products.listProducts({ q: "coffee", limit: 5 }, testCall());
    assert.ok(coffee.length >= 4);
    const { variants: priced } = await products.priceLines({ skus: ["COFFEE-HARBOUR-250"] }, testCall());
    assert.deepEqual(
      priced.map(({ title, price }) => [title, price?.amount]),
      [["Harbour Blend Coffee (250 g)", "8.90"]],
    );
    const { items: categories } = await products.listCategories({}, testCall());
    assert.deepEqual([created, categories.length], [41, 8]);
    const again = await seedDemo(clients);
    assert.deepEqual([again.unchanged, again.booked], [41, 0]);
  });
});
