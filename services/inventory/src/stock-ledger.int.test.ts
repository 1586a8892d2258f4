import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { MovementKind } from "@kontor/contracts/gen/kontor/inventory/v1/inventory_pb.js";
import { sql } from "@kontor/platform/database/sql.ts";
import { refusalIn } from "@kontor/platform/errors/refusal.ts";
import { testCall } from "@kontor/platform/testing/test-services.ts";
import { admin, one, openTestInventory } from "./open-test-inventory.ts";
import { onHandMax } from "./stock.ts";

const { RECEIVED, WRITTEN_OFF, CLAIMED } = MovementKind;

describe("the stock ledger", () => {
  it("INV-01: every change of the level is a row of the ledger, with who, when and why, and the level is their sum", async () => {
    const { client, check, units, hosted, clock } = await openTestInventory();
    const received = await client.createMovement({ sku: "A", kind: RECEIVED, quantity: 10, note: "delivery 7" }, admin());
    const lost = await client.createMovement({ sku: "A", kind: WRITTEN_OFF, quantity: 3, note: "broken" }, admin());
    assert.deepEqual([received.quantity, received.actor, received.note, received.order], [10, "usr_admin", "delivery 7", ""]);
    assert.equal(Number(received.at?.seconds) * 1000, clock.now().getTime());
    assert.deepEqual([lost.quantity, lost.kind], [-3, WRITTEN_OFF]);
    assert.deepEqual(await units("A"), [7, 0]);
    const { items } = await client.listMovements({ sku: "A" }, admin());
    assert.deepEqual(items, [lost, received], "newest first");
    const rows = await hosted.database.rows(sql`select version, actor from events where stream = 'A' order by version`);
    assert.deepEqual(rows, [
      { version: 1, actor: "usr_admin" },
      { version: 2, actor: "usr_admin" },
    ]);
    await check();
  });

  it("refuses to write off more than is free, kinds that only orders cause, and more than can be counted", async () => {
    const { client, check, units, reserve, deliver } = await openTestInventory();
    await deliver({ A: 10 });
    await reserve("ord_1", [one("A", 8)]);
    const move = (kind: MovementKind, quantity: number, sku = "A") => client.createMovement({ sku, kind, quantity }, admin());
    const refused = (reason: string) => (error: unknown) => refusalIn(error)?.reason === reason;
    await assert.rejects(move(WRITTEN_OFF, 3), refused("OUT_OF_STOCK"));
    await assert.rejects(move(WRITTEN_OFF, 1, "NEVER-SEEN"), refused("OUT_OF_STOCK"));
    await assert.rejects(move(CLAIMED, 1), (error) => refusalIn(error)?.fields[0]?.field === "kind");
    await assert.rejects(move(RECEIVED, 0), (error) => refusalIn(error)?.fields[0]?.field === "quantity");
    await assert.rejects(
      client.createMovement({ sku: "A", kind: RECEIVED, quantity: 1 }, testCall({ user: {} })),
      refused("PERMISSION_DENIED"),
    );
    await deliver({ B: onHandMax });
    await assert.rejects(move(RECEIVED, 1, "B"), (error) => refusalIn(error)?.fields[0]?.field === "quantity");
    await move(WRITTEN_OFF, 2);
    assert.deepEqual(await units("A"), [8, 8]);
    const { items } = await client.listStock({ sku: ["NEVER-SEEN"] }, admin());
    assert.deepEqual(items, [], "a refused movement leaves no SKU behind");
    await check();
  });

  it("records a movement once for one idempotency key, also when its repeats come together", async () => {
    const { client, check, units } = await openTestInventory();
    const call = () => testCall({ user: { id: "usr_admin", roles: ["admin"] }, idempotencyKey: "delivery-7" });
    const movements = await Promise.all(
      Array.from({ length: 8 }, () => client.createMovement({ sku: "A", kind: RECEIVED, quantity: 5 }, call())),
    );
    assert.equal(new Set(movements.map(({ id }) => id)).size, 1);
    await assert.rejects(
      client.createMovement({ sku: "A", kind: RECEIVED, quantity: 6 }, call()),
      (error) => refusalIn(error)?.reason === "IDEMPOTENCY_KEY_REUSED",
    );
    assert.deepEqual(await units("A"), [5, 0]);
    await check();
  });

  it("INV-01: 40 movements of new SKUs at the same time are all counted", async () => {
    const { client, check, units } = await openTestInventory();
    await Promise.all(
      Array.from({ length: 40 }, (_, at) => client.createMovement({ sku: `S${at % 4}`, kind: RECEIVED, quantity: at + 1 }, admin())),
    );
    const sums = [0, 1, 2, 3].map((sku) =>
      Array.from({ length: 10 }, (_, nth) => nth * 4 + sku + 1).reduce((sum, quantity) => sum + quantity, 0),
    );
    assert.deepEqual(
      await Promise.all([0, 1, 2, 3].map((sku) => units(`S${sku}`))),
      sums.map((sum) => [sum, 0]),
    );
    await check();
  });

  it("imports new SKUs, leaves known ones alone, and books their difference when requested, not below what is set aside", async () => {
    const { client, check, units, reserve } = await openTestInventory();
    const both = (a: number, b: number, bookDifference = false) =>
      client.importStock(
        {
          stock: [
            { sku: "A", onHand: a },
            { sku: "B", onHand: b },
          ],
          bookDifference,
          note: "count",
        },
        testCall(),
      );
    const { booked, unchanged } = await both(10, 5);
    assert.deepEqual([booked, unchanged], [2, 0]);
    await reserve("ord_1", [one("A", 6)]);
    const again = await both(99, 99);
    assert.deepEqual([again.booked, again.unchanged], [0, 2]);
    assert.deepEqual(
      [await units("A"), await units("B")],
      [
        [10, 6],
        [5, 0],
      ],
    );
    const counted = await both(4, 5, true);
    assert.deepEqual([counted.booked, counted.unchanged], [1, 1]);
    assert.deepEqual(await units("A"), [6, 6]);
    await both(20, 0, true);
    assert.deepEqual(
      [await units("A"), await units("B")],
      [
        [20, 6],
        [0, 0],
      ],
    );
    const { items } = await client.listMovements({ sku: "A" }, admin());
    assert.deepEqual(
      items.map(({ kind, quantity, note }) => [kind, quantity, note]),
      [
        [RECEIVED, 14, "count"],
        [WRITTEN_OFF, -4, "count"],
        [RECEIVED, 10, "count"],
      ],
    );
    await check();
  });

  it("lists stock and movements page by page, each once, while more is recorded", async () => {
    const { client, deliver, hosted } = await openTestInventory();
    await deliver(Object.fromEntries(Array.from({ length: 25 }, (_, at) => [`S${String(at).padStart(2, "0")}`, at + 1])));
    const skus: string[] = [];
    for (let cursor: string | undefined = ""; cursor !== undefined;) {
      const { items, nextCursor } = await client.listStock({ limit: 10, cursor }, admin());
      skus.push(...items.map(({ sku }) => sku));
      cursor = nextCursor;
    }
    assert.deepEqual(
      skus,
      Array.from({ length: 25 }, (_, at) => `S${String(at).padStart(2, "0")}`),
    );

    // All at one instant of the clock: their ids keep the order.
    for (let nth = 1; nth <= 12; nth++) await client.createMovement({ sku: "S00", kind: RECEIVED, quantity: nth }, admin());
    const quantities: number[] = [];
    for (let cursor: string | undefined = ""; cursor !== undefined;) {
      const { items, nextCursor } = await client.listMovements({ sku: "S00", limit: 5, cursor }, admin());
      quantities.push(...items.map(({ quantity }) => quantity));
      cursor = nextCursor;
      await client.createMovement({ sku: "S00", kind: RECEIVED, quantity: 100 }, admin());
    }
    assert.deepEqual(quantities, [12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 1]);
    await assert.rejects(
      client.listMovements({ sku: "S00", cursor: "x" }, admin()),
      (error) => refusalIn(error)?.reason === "INVALID_CURSOR",
    );
    const plan = await hosted.database.transaction(async (tx) => {
      await tx.run(sql`set local enable_seqscan = off`);
      return tx.rows<{ "QUERY PLAN": string }>(
        sql`explain select id from movements where sku = 'S00' and (at, id) < (select at, id from movements where id = 'x') order by at desc, id desc limit 5`,
      );
    });
    assert.match(
      plan.map((row) => row["QUERY PLAN"]).join("\n"),
      /Index (Only )?Scan using movements_by_sku.*\n.*Index Cond:.*ROW\(at, id\) </,
    );
  });
});
