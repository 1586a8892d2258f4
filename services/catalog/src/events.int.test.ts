import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { ProductSchema, ProductStatus } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import type { Product } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import { ProductUpdatedSchema } from "@kontor/contracts/gen/kontor/catalog/v1/events_pb.js";
import type { Event } from "@kontor/contracts/gen/kontor/events/v1/events_pb.js";
import { sql } from "@kontor/platform/database/sql.ts";
import { openCatalog, refusalOf, simple } from "./test-catalog.ts";

type Catalog = Awaited<ReturnType<typeof openCatalog>>;

/** Random work on a few products: made, changed, published, archived, deleted, repeated and refused, partly at the same time. */
async function work({ edge, admin, create, importProducts, clock }: Catalog): Promise<void> {
  const made = await Promise.all(
    ["a", "b", "c", "d"].map((sku) => create(simple(sku, { status: ProductStatus.DRAFT, tags: [sku], vendor: "V" }))),
  );
  const [a, b, c, d] = made.map(({ id }) => id) as [string, string, string, string];
  clock.advance(1_000);
  await Promise.all([
    edge.publishProduct({ product: a }, admin()),
    edge.publishProduct({ product: a }, admin()),
    edge.archiveProduct({ product: b }, admin()),
  ]);
  await Promise.allSettled(
    Array.from({ length: 6 }, (_, at) =>
      edge.updateProduct({ product: [a, c][at % 2]!, version: 1 + (at % 3), updateMask: { paths: ["vendor"] }, vendor: `V${at}` }, admin()),
    ),
  );
  await refusalOf(edge.updateProduct({ product: a, updateMask: { paths: ["handle"] }, handle: "product-b" }, admin()));
  await edge.updateProduct(
    { product: c, updateMask: { paths: ["variants"] }, variants: [{ sku: "c2", price: { currency: "JPY", amount: "500" } }] },
    admin(),
  );
  await Promise.all([
    edge.deleteProduct({ product: d }, admin()),
    edge.updateProduct({ product: c, updateMask: { paths: ["title"] }, title: "Ç" }, admin()),
  ]);
  await importProducts([
    { product: simple("e"), categoryNames: ["Imported"] },
    { product: simple("a", { title: "Product a", vendor: "from the import" }) },
    { product: simple("b") },
  ]);
  await importProducts([{ product: simple("e"), categoryNames: ["Imported"] }]);
}

/** A copy as another service has it: the whole product of the newest version that it has received. */
function copyOf(events: readonly Event[]): Map<string, { version: number; product: Product | undefined }> {
  const copy = new Map<string, { version: number; product: Product | undefined }>();
  for (const { type, stream, version, data } of events) {
    if (!type.startsWith("catalog.product.") || version <= (copy.get(stream)?.version ?? 0)) continue;
    copy.set(stream, { version, product: type === "catalog.product.deleted" ? undefined : fromBinary(ProductUpdatedSchema, data).product });
  }
  return copy;
}

describe("catalog: events", { concurrency: 4 }, () => {
  it("CAT-09, R18: a copy made of events that come shuffled and more than once equals the catalogue", async () => {
    const app = await openCatalog();
    await work(app);
    const events = await app.log();
    const catalogue = new Map((await app.listAll({})).map((product) => [product.id, product]));
    assert.equal(catalogue.size, 4);
    fc.assert(
      fc.property(
        fc.shuffledSubarray(
          events.flatMap((event) => [event, event, event]),
          { minLength: events.length * 3 },
        ),
        (delivered) => {
          const copy = copyOf(delivered);
          assert.equal(copy.size, 5);
          for (const [id, { product }] of copy) assert.deepEqual(product, catalogue.get(id));
        },
      ),
      { numRuns: 50 },
    );
  });

  it("CAT-10, CON-02: the events of a product's stream make its row, byte for byte, and its versions have no gap", async () => {
    const app = await openCatalog();
    await work(app);
    const { hosted } = app;
    const rows = await hosted.database.rows<{
      id: string;
      version: number;
      status: string;
      handle: string;
      vendor: string;
      tags: string[];
      state: Buffer;
      updated: Date;
    }>(sql`select id, version, status, handle, vendor, tags, state, updated_at as updated from products`);
    assert.equal(rows.length, 4);
    for (const row of rows) {
      const history = await hosted.log.history(hosted.database, row.id);
      assert.deepEqual(
        history.map(({ version }) => version),
        history.map((_, at) => at + 1),
      );
      for (const { version, data } of history) assert.equal((data as unknown as { product: Product }).product.version, version);
      const { product } = history.at(-1)!.data as unknown as { product: Product };
      assert.deepEqual(Buffer.from(toBinary(ProductSchema, product)), row.state);
      assert.deepEqual(
        [product.version, ProductStatus[product.status], product.handle, product.vendor, product.tags],
        [row.version, row.status, row.handle, row.vendor, row.tags],
      );
      assert.equal(Number(product.updatedAt!.seconds), row.updated.getTime() / 1000);
      const variants = await hosted.database.rows<{ sku: string; cheapest: boolean }>(
        sql`select sku, cheapest from variants where product = ${row.id} order by sku`,
      );
      assert.deepEqual(
        variants,
        product.variants.map(({ sku }) => ({ sku, cheapest: true })).toSorted((one, other) => (one.sku < other.sku ? -1 : 1)),
      );
      const places = await hosted.database.rows<{ category: string }>(
        sql`select category from product_categories where product = ${row.id}`,
      );
      assert.deepEqual(places.map(({ category }) => category).toSorted(), product.categories.toSorted());
    }
  });

  it("MSG-13: every change is one event; what changes nothing, and what is refused, is none", async () => {
    const { edge, admin, create, log } = await openCatalog();
    const { id: product } = await create(simple("a"));
    const before = (await log()).length;
    await edge.publishProduct({ product }, admin());
    await edge.updateProduct({ product, updateMask: { paths: ["title"] }, title: "Product a" }, admin());
    await refusalOf(edge.updateProduct({ product, version: 7, updateMask: { paths: ["title"] }, title: "x" }, admin()));
    await refusalOf(create(simple("b", { handle: "product-a" })));
    await edge.deleteProduct({ product: "prd_nowhere" }, admin());
    await edge.updateProduct({ product, updateMask: { paths: ["title"] }, title: "x" }, admin("key"));
    await edge.updateProduct({ product, updateMask: { paths: ["title"] }, title: "x" }, admin("key"));
    const events = await log();
    assert.deepEqual(
      events.slice(before).map(({ type, actor, version }) => [type, actor, version]),
      [["catalog.product.updated", "usr_admin", 2]],
    );
  });
});
