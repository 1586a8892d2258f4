import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { CategoryDeletedSchema } from "@kontor/contracts/gen/kontor/catalog/v1/events_pb.js";
import { fromBinary } from "@bufbuild/protobuf";
import { testCall } from "@kontor/platform/testing/test-services.ts";
import { openCatalog, refusalOf, refusalsAmong, shopper, simple } from "./test-catalog.ts";

describe("catalog: categories", { concurrency: 4 }, () => {
  it("CAT-03: are made, read, moved, renamed and deleted, with a version that rises with each change", async () => {
    const { edge, admin } = await openCatalog();
    const clothes = await edge.createCategory({ name: "Clothes & Shoes" }, admin());
    assert.deepEqual([clothes.slug, clothes.version, clothes.parent, clothes.position], ["clothes-shoes", 1, undefined, 0]);
    const shirts = await edge.createCategory({ name: "Shirts", slug: "tops", parent: clothes.id, position: 3 }, admin());
    assert.deepEqual(await edge.getCategory({ category: shirts.id }, shopper()), shirts);
    const renamed = await edge.updateCategory({ category: shirts.id, name: "T-Shirts", version: 1 }, admin());
    assert.deepEqual(
      [renamed.name, renamed.slug, renamed.parent, renamed.position, renamed.version],
      ["T-Shirts", "tops", clothes.id, 3, 2],
    );
    const same = await edge.updateCategory({ category: shirts.id, name: "T-Shirts" }, admin());
    assert.deepEqual(same, renamed);
    const top = await edge.updateCategory({ category: shirts.id, parent: "" }, admin());
    assert.deepEqual([top.parent, top.version], [undefined, 3]);
    const conflict = await refusalOf(edge.updateCategory({ category: shirts.id, name: "Tops", version: 2 }, admin()));
    assert.deepEqual([conflict.reason, conflict.details], ["VERSION_CONFLICT", { version: 3 }]);
    await edge.deleteCategory({ category: shirts.id }, admin());
    await edge.deleteCategory({ category: shirts.id }, admin());
    assert.equal((await refusalOf(edge.getCategory({ category: shirts.id }, shopper()))).reason, "NOT_FOUND");
    assert.equal((await refusalOf(edge.updateCategory({ category: shirts.id, name: "x" }, admin()))).reason, "NOT_FOUND");
  });

  it("CAT-03: the events of a category carry it as it is, each under the next version", async () => {
    const { edge, admin, hosted, log } = await openCatalog();
    const { id } = await edge.createCategory({ name: "Shirts" }, admin());
    await edge.updateCategory({ category: id, name: "Tops" }, admin());
    await edge.deleteCategory({ category: id }, admin());
    const history = await hosted.log.history(hosted.database, id);
    assert.deepEqual(
      history.map(({ type, version, actor, data }) => [
        type,
        version,
        actor,
        (data as unknown as { category: { version: number; name: string } }).category.version,
      ]),
      [
        ["catalog.category.created", 1, "usr_admin", 1],
        ["catalog.category.updated", 2, "usr_admin", 2],
        ["catalog.category.deleted", 3, "usr_admin", 3],
      ],
    );
    assert.equal(fromBinary(CategoryDeletedSchema, (await log()).at(-1)!.data).category?.name, "Tops");
  });

  it("CAT-03: a circle is refused, also one that two changes would make together", async () => {
    const { edge, admin } = await openCatalog();
    const make = async (name: string, parent?: string) =>
      (await edge.createCategory({ name, ...(parent !== undefined && { parent }) }, admin())).id;
    const a = await make("a");
    const b = await make("b", a);
    const c = await make("c", b);
    for (const parent of [a, b, c])
      assert.equal((await refusalOf(edge.updateCategory({ category: a, parent }, admin()))).reason, "CATEGORY_CYCLE");
    const [d, e] = [await make("d"), await make("e")];
    const outcomes = await Promise.allSettled([
      edge.updateCategory({ category: d, parent: e }, admin()),
      edge.updateCategory({ category: e, parent: d }, admin()),
    ]);
    assert.deepEqual(outcomes.map(({ status }) => status).toSorted(), ["fulfilled", "rejected"]);
    const refusal = await refusalOf(edge.updateCategory({ category: d, parent: "cat_nowhere" }, admin()));
    assert.deepEqual([refusal.reason, refusal.fields[0]?.field], ["INVALID_REQUEST", "parent"]);
  });

  it("CAT-03: a slug is one category's, also when ten request it at the same time; names without Latin letters have their own", async () => {
    const { edge, admin } = await openCatalog();
    const outcomes = await Promise.allSettled(
      Array.from({ length: 10 }, () => edge.createCategory({ name: "Shirts", slug: "shirts" }, admin())),
    );
    assert.equal(outcomes.filter(({ status }) => status === "fulfilled").length, 1);
    for (const { reason } of refusalsAmong(outcomes)) assert.equal(reason, "SLUG_TAKEN");
    const hats = await edge.createCategory({ name: "帽子" }, admin());
    const shoes = await edge.createCategory({ name: "鞋子" }, admin());
    assert.notEqual(hats.slug, shoes.slug);
    // One is made and one renamed at the same time: whichever comes second is refused.
    const race = await Promise.allSettled([
      edge.createCategory({ name: "Tops", slug: "tops" }, admin()),
      edge.updateCategory({ category: hats.id, slug: "tops" }, admin()),
    ]);
    assert.deepEqual(
      refusalsAmong(race).map(({ reason }) => reason),
      ["SLUG_TAKEN"],
    );
    assert.equal((await refusalOf(edge.createCategory({ name: " \t " }, admin()))).fields[0]?.field, "name");
  });

  it("CAT-03: cannot be deleted while it has products or categories, also when one is put into it at the same time", async () => {
    const { edge, admin, create } = await openCatalog();
    const parent = await edge.createCategory({ name: "Clothes" }, admin());
    const child = await edge.createCategory({ name: "Shirts", parent: parent.id }, admin());
    const product = await create(simple("s-1", { categories: [child.id] }));
    for (const category of [parent.id, child.id])
      assert.equal((await refusalOf(edge.deleteCategory({ category }, admin()))).reason, "CATEGORY_IN_USE");
    await edge.deleteProduct({ product: product.id }, admin());
    const [deleted, placed] = await Promise.allSettled([
      edge.deleteCategory({ category: child.id }, admin()),
      create(simple("s-2", { categories: [child.id] })),
    ]);
    assert.notEqual(deleted.status, placed.status);
    const missing = await refusalOf(create(simple("s-3", { categories: [parent.id, "cat_nowhere"] })));
    assert.deepEqual([missing.reason, missing.fields[0]?.field], ["INVALID_REQUEST", "categories[1]"]);
  });

  it("CAT-03: products are listed by category, with those below it", async () => {
    const { edge, admin, create, list } = await openCatalog();
    const top = await edge.createCategory({ name: "Top" }, admin());
    const middle = await edge.createCategory({ name: "Middle", parent: top.id }, admin());
    const low = await edge.createCategory({ name: "Low", parent: middle.id }, admin());
    const other = await edge.createCategory({ name: "Other" }, admin());
    const ids: Record<string, string> = {};
    for (const [sku, categories] of Object.entries({ a: [top.id], b: [middle.id, other.id], c: [low.id], d: [other.id], e: [] }))
      ids[sku] = (await create(simple(sku, { categories }))).id;
    const found = async (category: string) => {
      const items = new Set((await list({ category })).items.map(({ id }) => id));
      return Object.keys(ids).filter((sku) => items.has(ids[sku]!));
    };
    assert.deepEqual(await found(top.id), ["a", "b", "c"]);
    assert.deepEqual(await found(middle.id), ["b", "c"]);
    assert.deepEqual(await found(low.id), ["c"]);
    assert.deepEqual(await found(other.id), ["b", "d"]);
    assert.deepEqual(await found("cat_nowhere"), []);
    await edge.updateCategory({ category: middle.id, parent: "" }, admin());
    assert.deepEqual(await found(top.id), ["a"]);
  });

  it("CAT-03: the tree is paged in order, whatever the size of the page, and a foreign cursor is refused", async () => {
    const { edge, admin } = await openCatalog();
    const top = await edge.createCategory({ name: "Top" }, admin());
    for (let at = 0; at < 12; at++)
      await edge.createCategory(
        { name: `Same ${at % 4}`, slug: `s-${at}`, position: at % 3, ...(at % 2 === 0 && { parent: top.id }) },
        admin(),
      );
    const pages = async (limit: number, parent = "") => {
      const found: string[] = [];
      let cursor: string | undefined = "";
      while (cursor !== undefined) {
        const response = await edge.listCategories({ limit, cursor, parent }, shopper());
        found.push(...response.items.map((one) => [one.parent ?? "", one.position, one.name, one.id].join(" ")));
        cursor = response.nextCursor;
      }
      return found;
    };
    const all = await pages(100);
    assert.equal(all.length, 13);
    assert.deepEqual(all, all.toSorted());
    assert.deepEqual(await pages(1), all);
    assert.deepEqual(await pages(5), all);
    assert.deepEqual(
      await pages(2, top.id),
      all.filter((one) => one.startsWith(top.id)),
    );
    for (const forged of [["", 0.5, "", ""], ["", 1e300, "", ""], ["", 0, "\0", ""], ["", 0, ""], "x"]) {
      const cursor = Buffer.from(JSON.stringify(forged)).toString("base64url");
      assert.equal((await refusalOf(edge.listCategories({ cursor }, shopper()))).reason, "INVALID_CURSOR", JSON.stringify(forged));
    }
  });

  it("ID-10: only an admin changes categories", async () => {
    const { edge, admin } = await openCatalog();
    const { id } = await edge.createCategory({ name: "Shirts" }, admin());
    for (const [call, reason] of [
      [shopper(), "UNAUTHENTICATED"],
      [testCall({ caller: "gateway", user: {} }), "PERMISSION_DENIED"],
      [testCall({ caller: "gateway", user: { roles: ["seller", "support"] } }), "PERMISSION_DENIED"],
    ] as const) {
      assert.equal((await refusalOf(edge.createCategory({ name: "x" }, call))).reason, reason);
      assert.equal((await refusalOf(edge.updateCategory({ category: id, name: "x" }, call))).reason, reason);
      assert.equal((await refusalOf(edge.deleteCategory({ category: id }, call))).reason, reason);
    }
  });
});
