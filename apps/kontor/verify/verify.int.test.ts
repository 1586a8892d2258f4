import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { eventTypeOf } from "@kontor/platform/contract/contract.ts";
import type { Queries } from "@kontor/platform/database/database.ts";
import { compile, sql } from "@kontor/platform/database/sql.ts";
import { partitionName } from "@kontor/platform/events/subscriptions/partition-name.ts";
import { partitionOfStream } from "@kontor/platform/events/kafka/partition-of-stream.ts";
import { beginning } from "@kontor/platform/events/position.ts";
import type { Position } from "@kontor/platform/events/position.ts";
import { knownSubscriptions } from "./known-subscriptions.ts";
import { brokenIn, testBreaks } from "./test-breaks.ts";
import { verify } from "./verify.ts";
import type { Finding } from "./verify.ts";

describe("verify", () => {
  const breaks = testBreaks();

  it("finds nothing in a shop with orders in all states", async () => {
    const rows = await breaks.shop.database("orders").rows<{ id: string; status: string }>(sql`select id, status from orders`);
    const status = new Map(rows.map((row) => [row.id, row.status]));
    assert.deepEqual(
      Object.entries(breaks.orders).map(([name, { id }]) => [name, status.get(id)]),
      [
        ["pending", "PENDING"],
        ["paid", "PAID"],
        ["completed", "COMPLETED"],
        ["expired", "CANCELLED"],
        ["cancelled", "CANCELLED"],
        ["takenBack", "CANCELLED"],
        ["partlyRefunded", "COMPLETED"],
        ["unclaimed", "CANCELLED"],
      ],
    );
    const findings = await verify(breaks.shop.databases);
    assert.deepEqual(brokenIn(findings), {});
    assert.deepEqual(
      findings.map(({ id, checked }) => [id, checked]),
      [
        ["I1", 3],
        ["I2", 4],
        ["I3", 9],
        ["I4", 9],
        ["I6", 9],
        ["I7", 6],
        ["I8", findings[6]!.checked],
        ["I9", findings[7]!.checked],
        ["I10", 10],
        ["I11", 0],
      ],
    );
    assert.deepEqual(findings[3]!.notes, ["EUR: 279.86 captured, 84.96 refunded"]);
  });

  it("finds nothing beside a shop that takes orders", async () => {
    const working = (async () => {
      for (let at = 0; at < 6; at++) {
        const order = await breaks.shop.place([{ sku: "A", quantity: 1 }]);
        await breaks.shop.pay(order);
        if (at % 2 === 0) await breaks.shop.cancel(order);
      }
    })();
    let findings: readonly Finding[] = [];
    let over = false;
    const verifying = (async () => {
      do findings = [...findings, ...(await verify(breaks.shop.databases, { running: true, now: () => breaks.now() }))];
      while (!over);
    })();
    await working;
    over = true;
    await verifying;
    await breaks.shop.settle();
    assert.deepEqual(brokenIn(findings), {});
    assert.deepEqual(brokenIn(await verify(breaks.shop.databases, { running: true, now: () => breaks.now() })), {});
  });

  it("looks again at what was found beside a running shop, and forgets what has passed", async () => {
    const provider = breaks.shop.database("provider");
    let hidden = 0;
    const hiding: Queries = {
      maybe: (query) => provider.maybe(query),
      one: (query) => provider.one(query),
      run: (query) => provider.run(query),
      rows: (query) =>
        /from charges where session_key = any/.test(compile(query).text) && hidden++ === 0 ? Promise.resolve([]) : provider.rows(query),
    };
    const databases = new Map<string, Queries>([...breaks.shop.databases, ["provider", hiding]]);
    assert.deepEqual(Object.keys(brokenIn(await verify(databases, { only: ["I3"] }))), ["I3"]);
    hidden = 0;
    assert.deepEqual(brokenIn(await verify(databases, { only: ["I3"], running: true, now: () => breaks.now() })), {});
    assert.equal(hidden, 2);
  });

  it("knows the subscriptions of all services", () => {
    const known = (name: string) => knownSubscriptions.find((one) => one.name === name);
    const real = [...breaks.shop.app.services.values()].flatMap(({ name, service }) =>
      (service.subscriptions ?? []).map((one) => ({ ...one, subscriber: name })),
    );
    assert.deepEqual(
      real.map(({ name, subscriber, publisher, schemas }) => ({ name, subscriber, publisher, types: schemas.map(eventTypeOf) })),
      real.map(({ name }) => known(name)),
    );
    assert.equal(real.length, knownSubscriptions.length);
  });

  it("I6, I8 and I9: a gap in a history", () =>
    breaks.expectBroken({
      in: "orders",
      broken: [
        sql`create table kept as select * from events where stream = ${breaks.orders.expired.id} and version = 2`,
        sql`delete from events where stream = ${breaks.orders.expired.id} and version = 2`,
      ],
      repaired: [sql`insert into events overriding system value select * from kept`, sql`drop table kept`],
      found: {
        I6: /its events have the versions 1, 3/,
        I8: /^notifications.orders has applied/,
        I9: /^version 3 of .* in orders's log does not follow/,
      },
    }));

  it("I8: an event applied twice", () =>
    breaks.expectBroken({
      in: "inventory",
      broken: [sql`update subscriptions set applied = applied + 1 where name = 'inventory.orders'`],
      repaired: [sql`update subscriptions set applied = applied - 1 where name = 'inventory.orders'`],
      found: { I8: /^inventory.orders has applied \d+, parked 0 and skipped 0, orders's log has \d+ such events up to its checkpoint$/ },
    }));

  it("I9: a copy of an older version", () =>
    breaks.expectBroken({
      in: "catalog",
      broken: [sql`update availability set version = version - 1 where sku = 'A'`],
      repaired: [sql`update availability set version = version + 1 where sku = 'A'`],
      found: { I9: /^catalog's copy of SKU A is of version \d+, the last applied is \d+$/ },
    }));

  it("I9: a copy with other figures", () =>
    breaks.expectBroken({
      in: "catalog",
      broken: [sql`update availability set available = available + 1 where sku = 'A'`],
      repaired: [sql`update availability set available = available - 1 where sku = 'A'`],
      found: { I9: /^catalog says that \d+ of SKU A are available, version/ },
    }));

  it("I9: a stream out of order", () =>
    breaks.expectBroken({
      in: "catalog",
      broken: [sql`update events set version = 7 where position = (select min(position) from events where version = 1)`],
      repaired: [sql`update events set version = 1 where version = 7`],
      found: { I9: /^version 7 of .* in catalog's log does not follow on the one before it$/ },
    }));

  it("I9: an event applied that should have waited for a parked one", async () => {
    const event = await breaks.shop
      .database("orders")
      .one<{ epoch: number; xid: string; position: string; id: string }>(
        sql`select epoch, xid, position::text as position, id from events where stream = ${breaks.orders.takenBack.id} and type = 'orders.order.paid'`,
      );
    await breaks.expectBroken({
      in: "inventory",
      broken: [
        sql`insert into parked_events (subscription, stream, epoch, xid, position, id, version, type, data, actor, trace, correlation, causation, at, cause, attempts, next_attempt_at)
          values ('inventory.orders', ${breaks.orders.takenBack.id}, ${event.epoch}, ${event.xid}::xid8, ${event.position}::bigint, ${event.id}, 2, 'orders.order.paid', '', '', '', '', '', now(), 'x', 5, null)`,
        sql`update subscriptions set applied = applied - 1 where name = 'inventory.orders'`,
      ],
      repaired: [sql`delete from parked_events`, sql`update subscriptions set applied = applied + 1 where name = 'inventory.orders'`],
      found: { I9: /^inventory.orders has parked 1 events of ord_.* from version 2 on, and the log has 2 up to its checkpoint$/ },
    });
  });

  it("I8, I9: a subscription with partitions is checked by the positions of its partitions", async () => {
    for (const name of ["inventory.orders", "catalog.availability"]) {
      const { subscriber, publisher, types } = knownSubscriptions.find((one) => one.name === name)!;
      const events = await breaks.shop.database(publisher).rows<Position & { readonly stream: string }>(sql`
        select epoch, xid, position::text as position, stream from events where type = any(${types}::text[]) order by epoch, xid, events.position`);
      const parts = [0, 1, 2].map((part) => events.filter(({ stream }) => partitionOfStream(stream, 3) === part));
      const rows = parts.map((own, part) => ({ ...(own.at(-1) ?? beginning), name: partitionName(name, part), applied: own.length }));
      assert.ok(rows.some(({ applied }) => applied > 0));
      const whole = sql`create table kept as select * from subscriptions where name = ${name}`;
      await breaks.change(subscriber, [
        whole,
        sql`update subscriptions set partitions = 3, fence = fence + 1, epoch = 0, xid = '0', position = 0, applied = 0 where name = ${name}`,
        ...rows.map(
          (row) => sql`insert into subscriptions (name, publisher, epoch, xid, position, applied)
            values (${row.name}, ${publisher}, ${row.epoch}, ${row.xid}::xid8, ${row.position}::bigint, ${row.applied})`,
        ),
      ]);
      assert.deepEqual(brokenIn(await verify(breaks.shop.databases)), {});
      await breaks.change(subscriber, [sql`update subscriptions set applied = applied + 1 where name = ${rows[1]!.name}`]);
      const findings = brokenIn(await verify(breaks.shop.databases));
      assert.deepEqual(Object.keys(findings), ["I8"]);
      assert.match(
        findings["I8"]!.join(),
        new RegExp(`^${name} has applied ${events.length + 1}, .* log has ${events.length} such events`),
      );
      await breaks.change(subscriber, [
        sql`delete from subscriptions where split_part(name, '#', 1) = ${name} and name <> ${name}`,
        sql`update subscriptions s set partitions = 0, epoch = k.epoch, xid = k.xid, position = k.position, applied = k.applied from kept k where s.name = k.name`,
        sql`drop table kept`,
      ]);
      assert.deepEqual(brokenIn(await verify(breaks.shop.databases)), {});
    }
  });

  it("shows the first twenty breaches and counts the others", async () => {
    await breaks.change("notifications", [
      sql`insert into notifications select 'ntf_many_' || n, 'usr_x', 'ORDER_CONFIRMATION', 'ord_' || n, now() from generate_series(1, 30) n`,
    ]);
    const [finding] = await verify(breaks.shop.databases, { only: ["I7"] });
    await breaks.change("notifications", [sql`delete from notifications where id like 'ntf_many_%'`]);
    assert.deepEqual([finding?.broken, finding?.breaches.length], [30, 20]);
  });

  it("I3, I8: what waits for its subscriber is no breach; a subscriber that does not move beside a running shop is", async () => {
    const order = await breaks.shop.place([{ sku: "A", quantity: 1 }]);
    await breaks.shop.settle();
    await breaks.shop.app.services.get("orders")!.subscriptions.stop();
    await breaks.shop.pay(order);
    assert.deepEqual(brokenIn(await verify(breaks.shop.databases)), {});
    const findings = brokenIn(await verify(breaks.shop.databases, { running: true, now: () => breaks.now(), waitMs: 300 }));
    assert.deepEqual(Object.keys(findings), ["I8"]);
    assert.match(findings["I8"]!.join(), /^orders.payments is at .* in payments's log and has applied nothing of what follows for 0.3 s$/);
  });
});
