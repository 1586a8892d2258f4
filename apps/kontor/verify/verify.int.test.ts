import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import type { Order } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import { eventTypeOf } from "@kontor/platform/contract/contract.ts";
import type { Queries } from "@kontor/platform/database/database.ts";
import { compile, sql } from "@kontor/platform/database/sql.ts";
import type { Sql } from "@kontor/platform/database/sql.ts";
import { partitionName } from "@kontor/platform/events/subscriptions/partition-name.ts";
import { partitionOfStream } from "@kontor/platform/events/kafka/partition-of-stream.ts";
import { beginning } from "@kontor/platform/events/position.ts";
import type { Position } from "@kontor/platform/events/position.ts";
import { knownSubscriptions } from "./known-subscriptions.ts";
import { openTestShop } from "./test-shop.ts";
import type { TestShop } from "./test-shop.ts";
import { verify } from "./verify.ts";
import type { Finding, VerifyOptions } from "./verify.ts";

/** What is broken, by invariant. */
function brokenIn(findings: readonly Finding[]): Record<string, readonly string[]> {
  return Object.fromEntries(findings.filter(({ broken }) => broken > 0).map(({ id, breaches }) => [id, breaches]));
}

interface Break {
  readonly in: string;
  /** Run behind the back of triggers. */
  readonly broken: readonly Sql[];
  readonly repaired: readonly Sql[];
  /** What must be found, for each invariant that must be found broken. */
  readonly found: Readonly<Record<string, RegExp>>;
  readonly options?: VerifyOptions;
}

describe("verify", () => {
  let shop: TestShop;
  let orders: Record<"pending" | "paid" | "completed" | "expired" | "cancelled" | "takenBack" | "partlyRefunded" | "unclaimed", Order>;
  before(async () => {
    shop = await openTestShop({ A: 50, B: 50, LAST: 1 });
    const expired = await shop.place([{ sku: "A", quantity: 1 }]);
    const completed = await shop.place([{ sku: "B", quantity: 2 }]);
    await shop.pay(completed, "decline");
    await shop.pay(completed);
    await shop.settle();
    await shop.pass(5);
    await shop.pass(20);
    const cancelled = await shop.place([{ sku: "A", quantity: 3 }]);
    await shop.cancel(cancelled);
    const takenBack = await shop.place([
      { sku: "A", quantity: 2 },
      { sku: "B", quantity: 1 },
    ]);
    await shop.pay(takenBack);
    await shop.settle();
    await shop.cancel(takenBack);
    const partlyRefunded = await shop.place([
      { sku: "A", quantity: 1 },
      { sku: "A", quantity: 1 },
    ]);
    await shop.pay(partlyRefunded);
    await shop.settle();
    await shop.fulfil(partlyRefunded);
    await shop.refund(partlyRefunded, "5.00");
    const unclaimed = await shop.place([{ sku: "LAST", quantity: 1 }]);
    await shop.release(unclaimed);
    const last = await shop.place([{ sku: "LAST", quantity: 1 }]);
    await assert.rejects(shop.place([{ sku: "LAST", quantity: 1 }]), { reason: "OUT_OF_STOCK" });
    await shop.pay(last);
    await shop.pay(unclaimed);
    const paid = await shop.place([
      { sku: "A", quantity: 1 },
      { sku: "B", quantity: 4 },
    ]);
    await shop.pay(paid);
    const pending = await shop.place([{ sku: "B", quantity: 5 }]);
    await shop.settle();
    orders = { pending, paid, completed, expired, cancelled, takenBack, partlyRefunded, unclaimed };
  });

  const now = (seconds = 0) => new Date(shop.app.clock.now().getTime() + seconds * 1_000);
  const change = (name: string, statements: readonly Sql[]) =>
    shop.database(name).transaction(async (tx) => {
      await tx.run(sql`set local session_replication_role = replica`);
      for (const statement of statements) await tx.run(statement);
    });
  const expectBroken = async ({ in: name, broken, repaired, found, options }: Break) => {
    await change(name, broken);
    const findings = await verify(shop.databases, options);
    await change(name, repaired);
    const breaches = brokenIn(findings);
    assert.deepEqual(Object.keys(breaches), Object.keys(found), JSON.stringify(breaches, undefined, 2));
    for (const [id, text] of Object.entries(found)) assert.match(breaches[id]!.join("\n"), text);
    // Repaired, or the next test would find it.
    assert.deepEqual(brokenIn(await verify(shop.databases, options?.now && { ...options, now: () => now() })), {});
  };

  it("finds nothing in a shop with orders in all states", async () => {
    const rows = await shop.database("orders").rows<{ id: string; status: string }>(sql`select id, status from orders`);
    const status = new Map(rows.map((row) => [row.id, row.status]));
    assert.deepEqual(
      Object.entries(orders).map(([name, { id }]) => [name, status.get(id)]),
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
    const findings = await verify(shop.databases);
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
        const order = await shop.place([{ sku: "A", quantity: 1 }]);
        await shop.pay(order);
        if (at % 2 === 0) await shop.cancel(order);
      }
    })();
    let findings: readonly Finding[] = [];
    let over = false;
    const verifying = (async () => {
      do findings = [...findings, ...(await verify(shop.databases, { running: true, now }))];
      while (!over);
    })();
    await working;
    over = true;
    await verifying;
    await shop.settle();
    assert.deepEqual(brokenIn(findings), {});
    assert.deepEqual(brokenIn(await verify(shop.databases, { running: true, now })), {});
  });

  it("looks again at what was found beside a running shop, and forgets what has passed", async () => {
    const provider = shop.database("provider");
    let hidden = 0;
    const hiding: Queries = {
      maybe: (query) => provider.maybe(query),
      one: (query) => provider.one(query),
      run: (query) => provider.run(query),
      rows: (query) =>
        /from charges where session_key = any/.test(compile(query).text) && hidden++ === 0 ? Promise.resolve([]) : provider.rows(query),
    };
    const databases = new Map<string, Queries>([...shop.databases, ["provider", hiding]]);
    assert.deepEqual(Object.keys(brokenIn(await verify(databases, { only: ["I3"] }))), ["I3"]);
    hidden = 0;
    assert.deepEqual(brokenIn(await verify(databases, { only: ["I3"], running: true, now })), {});
    assert.equal(hidden, 2);
  });

  it("knows the subscriptions of all services", () => {
    const known = (name: string) => knownSubscriptions.find((one) => one.name === name);
    const real = [...shop.app.services.values()].flatMap(({ name, service }) =>
      (service.subscriptions ?? []).map((one) => ({ ...one, subscriber: name })),
    );
    assert.deepEqual(
      real.map(({ name, subscriber, publisher, schemas }) => ({ name, subscriber, publisher, types: schemas.map(eventTypeOf) })),
      real.map(({ name }) => known(name)),
    );
    assert.equal(real.length, knownSubscriptions.length);
  });

  it("I1: more on hand than the movements sum to", () =>
    expectBroken({
      in: "inventory",
      broken: [sql`update stock set on_hand = on_hand + 1 where sku = 'A'`],
      repaired: [sql`update stock set on_hand = on_hand - 1 where sku = 'A'`],
      found: { I1: /^SKU A: \d+ on hand, its movements sum to \d+; its row says/ },
    }));

  it("I1: units reserved for nobody", () =>
    expectBroken({
      in: "inventory",
      broken: [sql`update reservations set status = 'FREED' where order_id = ${orders.pending.id}`],
      repaired: [sql`update reservations set status = 'HELD' where order_id = ${orders.pending.id}`],
      found: { I1: /^SKU B: 5 reserved, its held reservations sum to 0$/ },
    }));

  it("I1: movements of a SKU that has no stock row", () =>
    expectBroken({
      in: "inventory",
      broken: [
        sql`insert into movements (id, sku, kind, quantity, note, order_id, actor, at) values ('mov_ghost', 'GHOST', 'RECEIVED', 1, '', '', '', now())`,
      ],
      repaired: [sql`delete from movements where id = 'mov_ghost'`],
      found: { I1: /^SKU GHOST: it has no stock row/ },
    }));

  it("I1: a reservation that outlives its expiry while a shop runs", () =>
    expectBroken({
      in: "inventory",
      broken: [],
      repaired: [],
      options: { running: true, now: () => now(26 * 3_600) },
      found: { I1: new RegExp(`the reservation of order ${orders.pending.id} is held though it expired`) },
    }));

  it("I2: a paid order whose units are not sold", () =>
    expectBroken({
      in: "inventory",
      broken: [sql`update reservations set status = 'FREED' where order_id = ${orders.paid.id}`],
      repaired: [sql`update reservations set status = 'SOLD' where order_id = ${orders.paid.id}`],
      found: { I2: new RegExp(`the reservation of PAID order ${orders.paid.id} is FREED, not SOLD`) },
    }));

  it("I2: a paid order with other units than were sold to it", () =>
    expectBroken({
      in: "inventory",
      broken: [sql`update reservations set lines = '[{"sku":"A","quantity":1}]' where order_id = ${orders.paid.id}`],
      repaired: [
        sql`update reservations set lines = '[{"sku":"A","quantity":1},{"sku":"B","quantity":4}]' where order_id = ${orders.paid.id}`,
      ],
      found: { I2: /has 1 × A, 4 × B, its reservation 1 × A$/ },
    }));

  it("I2: more units sold than ever received", () =>
    expectBroken({
      in: "inventory",
      broken: [sql`update movements set kind = 'RETURNED' where sku = 'LAST' and kind = 'RECEIVED'`],
      repaired: [sql`update movements set kind = 'RECEIVED' where sku = 'LAST' and kind = 'RETURNED'`],
      found: { I2: /^SKU LAST: 1 units are on paid orders and 0 were ever received$/ },
    }));

  it("I2: units sold to an order that is cancelled", () =>
    expectBroken({
      in: "inventory",
      broken: [sql`update reservations set status = 'SOLD' where order_id = ${orders.cancelled.id}`],
      repaired: [sql`update reservations set status = 'FREED' where order_id = ${orders.cancelled.id}`],
      found: { I2: /is SOLD, but the order is CANCELLED$/ },
    }));

  it("I3: money captured for an order that is not there", async () => {
    const { id } = orders.paid;
    await expectBroken({
      in: "payments",
      broken: [sql`update payments set order_id = 'ord_gone' where order_id = ${id}`],
      repaired: [sql`update payments set order_id = ${id} where order_id = 'ord_gone'`],
      found: {
        I3: /is CAPTURED for order ord_gone, which is not there\n.* but none was captured/,
        I10: /its payment .* is for order ord_gone/,
      },
    });
  });

  it("I3: money captured for an order that is not paid", async () => {
    const { id } = orders.cancelled;
    await expectBroken({
      in: "payments",
      broken: [sql`update payments set status = 'OPEN' where order_id = ${id}`],
      repaired: [sql`update payments set status = 'CLOSED' where order_id = ${id}`],
      found: { I3: /is OPEN for order .*, which is CANCELLED$/ },
    });
  });

  it("I3: a charge that the provider has for something that we do not know", () =>
    expectBroken({
      in: "provider",
      broken: [sql`update charges set reference = 'pay_gone' where reference = ${orders.paid.payment!.id}`],
      repaired: [sql`update charges set reference = ${orders.paid.payment!.id} where reference = 'pay_gone'`],
      found: { I3: /is for pay_gone, not for payment .*\nthe provider's charge .* of payment pay_gone, which we do not know$/ },
    }));

  it("I3: a refund that the provider has under another key", async () => {
    const { key } = await shop
      .database("provider")
      .one<{ key: string }>(sql`select key from refunds where reference = ${orders.takenBack.payment!.id}`);
    await expectBroken({
      in: "provider",
      broken: [sql`update refunds set key = 'rfd_gone' where key = ${key}`],
      repaired: [sql`update refunds set key = ${key} where key = 'rfd_gone'`],
      found: { I3: /is REFUND_DONE, and at the provider not there\nthe provider's refund .* is for rfd_gone/ },
    });
  });

  it("I3 and I4: a charge that the provider does not have", async () => {
    await expectBroken({
      in: "provider",
      broken: [
        sql`create table kept as select * from charges where reference = ${orders.paid.payment!.id}`,
        sql`delete from charges where reference = ${orders.paid.payment!.id}`,
      ],
      repaired: [sql`insert into charges select * from kept`, sql`drop table kept`],
      found: { I3: /is SUCCEEDED, and the provider has no charge$/, I4: /we keep 99.95 of it, the provider says 0.00$/ },
    });
  });

  it("I4: an attempt that is charged twice", () =>
    expectBroken({
      in: "provider",
      broken: [
        sql`alter table charges drop constraint charges_session_key_key`,
        sql`insert into charges select 'ch_twice', session_key, reference, currency, amount, refunded, at from charges where reference = ${orders.paid.payment!.id}`,
      ],
      repaired: [
        sql`delete from charges where id = 'ch_twice'`,
        sql`alter table charges add constraint charges_session_key_key unique (session_key)`,
      ],
      found: { I4: /was charged 2 times\n.*we keep 99.95 of it, the provider says 199.90$/ },
    }));

  it("I4: another amount at the provider", () =>
    expectBroken({
      in: "provider",
      broken: [sql`update charges set amount = amount + 1 where reference = ${orders.paid.payment!.id}`],
      repaired: [sql`update charges set amount = amount - 1 where reference = ${orders.paid.payment!.id}`],
      found: { I4: /we keep 99.95 of it, the provider says 99.96$/ },
    }));

  it("I4: refunds that do not sum up", () =>
    expectBroken({
      in: "payments",
      broken: [sql`update payments set refunded = refunded + 1 where order_id = ${orders.partlyRefunded.id}`],
      repaired: [sql`update payments set refunded = refunded - 1 where order_id = ${orders.partlyRefunded.id}`],
      found: { I4: /5.01 refunded, its refunds sum to 5.00; we keep 34.97 of it, the provider says 34.98$/ },
    }));

  it("I6: an order at another version than its history", () =>
    expectBroken({
      in: "orders",
      broken: [sql`update orders set version = version + 1 where id = ${orders.pending.id}`],
      repaired: [sql`update orders set version = version - 1 where id = ${orders.pending.id}`],
      found: { I6: /its row is at version 2 and it has 1 events$/ },
    }));

  it("I6: an illegal step", async () => {
    const type = "orders.order.completed";
    await expectBroken({
      in: "orders",
      broken: [sql`update events set type = 'orders.order.placed' where stream = ${orders.completed.id} and type = ${type}`],
      repaired: [
        sql`update events set type = ${type} where stream = ${orders.completed.id} and type = 'orders.order.placed' and version > 1`,
      ],
      found: { I6: /orders.order.placed came when it was PAID$/ },
    });
  });

  it("I6: a stored state that is not that of the last event", () =>
    expectBroken({
      in: "orders",
      broken: [sql`update orders set state = state || '\\xf80101'::bytea where id = ${orders.pending.id}`],
      repaired: [sql`update orders set state = substring(state for length(state) - 3) where id = ${orders.pending.id}`],
      found: { I6: /its stored state is another than that of its last event$/ },
    }));

  it("I6, I8 and I9: a gap in a history", () =>
    expectBroken({
      in: "orders",
      broken: [
        sql`create table kept as select * from events where stream = ${orders.expired.id} and version = 2`,
        sql`delete from events where stream = ${orders.expired.id} and version = 2`,
      ],
      repaired: [sql`insert into events overriding system value select * from kept`, sql`drop table kept`],
      found: {
        I6: /its events have the versions 1, 3/,
        I8: /^notifications.orders has applied/,
        I9: /^version 3 of .* in orders's log does not follow/,
      },
    }));

  const task = () => sql`(select task from notifications where kind = 'ORDER_CONFIRMATION' and subject = ${orders.paid.id})`;

  it("I7: a confirmation that did not arrive", async () => {
    const { id } = await shop.database("notifications").one<{ id: string }>(sql`select ${task()} || '@kontor' as id`);
    await expectBroken({
      in: "mailbox",
      broken: [sql`update mails set message_id = 'gone' where message_id = ${id}`],
      repaired: [sql`update mails set message_id = ${id} where message_id = 'gone'`],
      found: { I7: /was sent, but the mailbox has no tsk_.*@kontor$/ },
    });
  });

  it("I7: two confirmations", () =>
    expectBroken({
      in: "notifications",
      broken: [
        sql`insert into notifications select 'ntf_twice', account, kind, subject, created_at, sent_at, task from notifications where kind = 'ORDER_CONFIRMATION' and subject = ${orders.paid.id}`,
      ],
      repaired: [sql`delete from notifications where id = 'ntf_twice'`],
      found: { I7: new RegExp(`^order ${orders.paid.id} has 2 confirmations$`) },
    }));

  it("I7: the confirmation of an order that was never paid", () =>
    expectBroken({
      in: "notifications",
      broken: [
        sql`update notifications set subject = ${orders.pending.id} where kind = 'ORDER_CONFIRMATION' and subject = ${orders.paid.id}`,
      ],
      repaired: [
        sql`update notifications set subject = ${orders.paid.id} where kind = 'ORDER_CONFIRMATION' and subject = ${orders.pending.id}`,
      ],
      found: { I7: /which was never paid\norder .* was paid and has no confirmation$/ },
    }));

  it("I7: without a mailbox only what was recorded is counted, and an emptied one is no loss", async () => {
    const [finding] = await verify(shop.databases, { only: ["I7"], mailsCaught: false });
    assert.deepEqual(
      [finding?.broken, finding?.notes],
      [0, ["mails go to another server than the mailbox: only what was recorded is counted"]],
    );
    await change("mailbox", [sql`create table kept as select * from mails`, sql`delete from mails`]);
    const [emptied] = await verify(shop.databases, { only: ["I7"] });
    assert.equal(emptied?.broken, 0);
    assert.match(emptied?.notes.join() ?? "", /^the mailbox was emptied: \d+ confirmations/);
    await change("mailbox", [
      sql`insert into mails (message_id, position, sender, recipients, subject, received_at, raw) overriding system value
        select message_id, position, sender, recipients, subject, received_at, raw from kept`,
      sql`drop table kept`,
    ]);
  });

  it("I8: an event applied twice", () =>
    expectBroken({
      in: "inventory",
      broken: [sql`update subscriptions set applied = applied + 1 where name = 'inventory.orders'`],
      repaired: [sql`update subscriptions set applied = applied - 1 where name = 'inventory.orders'`],
      found: { I8: /^inventory.orders has applied \d+, parked 0 and skipped 0, orders's log has \d+ such events up to its checkpoint$/ },
    }));

  it("I9: a copy of an older version", () =>
    expectBroken({
      in: "catalog",
      broken: [sql`update availability set version = version - 1 where sku = 'A'`],
      repaired: [sql`update availability set version = version + 1 where sku = 'A'`],
      found: { I9: /^catalog's copy of SKU A is of version \d+, the last applied is \d+$/ },
    }));

  it("I9: a copy with other figures", () =>
    expectBroken({
      in: "catalog",
      broken: [sql`update availability set available = available + 1 where sku = 'A'`],
      repaired: [sql`update availability set available = available - 1 where sku = 'A'`],
      found: { I9: /^catalog says that \d+ of SKU A are available, version/ },
    }));

  it("I9: a stream out of order", () =>
    expectBroken({
      in: "catalog",
      broken: [sql`update events set version = 7 where position = (select min(position) from events where version = 1)`],
      repaired: [sql`update events set version = 1 where version = 7`],
      found: { I9: /^version 7 of .* in catalog's log does not follow on the one before it$/ },
    }));

  it("I9: an event applied that should have waited for a parked one", async () => {
    const event = await shop
      .database("orders")
      .one<{ epoch: number; xid: string; position: string; id: string }>(
        sql`select epoch, xid, position::text as position, id from events where stream = ${orders.takenBack.id} and type = 'orders.order.paid'`,
      );
    await expectBroken({
      in: "inventory",
      broken: [
        sql`insert into parked_events (subscription, stream, epoch, xid, position, id, version, type, data, actor, trace, correlation, causation, at, cause, attempts, next_attempt_at)
          values ('inventory.orders', ${orders.takenBack.id}, ${event.epoch}, ${event.xid}::xid8, ${event.position}::bigint, ${event.id}, 2, 'orders.order.paid', '', '', '', '', '', now(), 'x', 5, null)`,
        sql`update subscriptions set applied = applied - 1 where name = 'inventory.orders'`,
      ],
      repaired: [sql`delete from parked_events`, sql`update subscriptions set applied = applied + 1 where name = 'inventory.orders'`],
      found: { I9: /^inventory.orders has parked 1 events of ord_.* from version 2 on, and the log has 2 up to its checkpoint$/ },
    });
  });

  const saga = (order: Order) => sql`position(${Buffer.from(order.id)}::bytea in input) > 0`;

  it("I10: a placed checkout without its response", () =>
    expectBroken({
      in: "checkout",
      broken: [
        sql`create table kept as select id, reply from sagas where ${saga(orders.paid)}`,
        sql`update sagas set reply = null where ${saga(orders.paid)}`,
      ],
      repaired: [sql`update sagas set reply = kept.reply from kept where kept.id = sagas.id`, sql`drop table kept`],
      found: { I10: /is DONE, and it has no response$/ },
    }));

  it("I10: an order that no checkout has placed", () =>
    expectBroken({
      in: "checkout",
      broken: [sql`update sagas set name = 'other' where ${saga(orders.paid)}`],
      repaired: [sql`update sagas set name = 'place-order' where ${saga(orders.paid)}`],
      found: { I10: new RegExp(`^order ${orders.paid.id} has 0 checkouts$`) },
    }));

  it("I10: an order of a checkout that was refused", () =>
    expectBroken({
      in: "checkout",
      broken: [sql`update sagas set status = 'REFUSED', refusal = '{}' where ${saga(orders.pending)}`],
      repaired: [sql`update sagas set status = 'DONE', refusal = null where ${saga(orders.pending)}`],
      found: { I10: /is REFUSED, and its order ord_.* is PENDING$/ },
    }));

  it("I10: a key without a response", () =>
    expectBroken({
      in: "payments",
      broken: [sql`insert into idempotency_keys (key, fingerprint, created_at, expires_at) values ('x', '', now(), now())`],
      repaired: [sql`delete from idempotency_keys where key = 'x'`],
      found: { I10: /^payments has 1 idempotency keys without a response$/ },
    }));

  it("I11: a checkout that hangs while a shop runs", () =>
    expectBroken({
      in: "checkout",
      broken: [sql`update sagas set status = 'RUNNING', lease_until = now() + interval '1 hour' where ${saga(orders.pending)}`],
      repaired: [sql`update sagas set status = 'DONE', lease_until = null where ${saga(orders.pending)}`],
      options: { running: true, now: () => now(31) },
      found: { I11: /^checkout chk_.* is RUNNING since 31 s$/ },
    }));

  it("I8, I9: a subscription with partitions is checked by the positions of its partitions", async () => {
    for (const name of ["inventory.orders", "catalog.availability"]) {
      const { subscriber, publisher, types } = knownSubscriptions.find((one) => one.name === name)!;
      const events = await shop.database(publisher).rows<Position & { readonly stream: string }>(sql`
        select epoch, xid, position::text as position, stream from events where type = any(${types}::text[]) order by epoch, xid, events.position`);
      const parts = [0, 1, 2].map((part) => events.filter(({ stream }) => partitionOfStream(stream, 3) === part));
      const rows = parts.map((own, part) => ({ ...(own.at(-1) ?? beginning), name: partitionName(name, part), applied: own.length }));
      assert.ok(rows.some(({ applied }) => applied > 0));
      const whole = sql`create table kept as select * from subscriptions where name = ${name}`;
      await change(subscriber, [
        whole,
        sql`update subscriptions set partitions = 3, fence = fence + 1, epoch = 0, xid = '0', position = 0, applied = 0 where name = ${name}`,
        ...rows.map(
          (row) => sql`insert into subscriptions (name, publisher, epoch, xid, position, applied)
            values (${row.name}, ${publisher}, ${row.epoch}, ${row.xid}::xid8, ${row.position}::bigint, ${row.applied})`,
        ),
      ]);
      assert.deepEqual(brokenIn(await verify(shop.databases)), {});
      await change(subscriber, [sql`update subscriptions set applied = applied + 1 where name = ${rows[1]!.name}`]);
      const findings = brokenIn(await verify(shop.databases));
      assert.deepEqual(Object.keys(findings), ["I8"]);
      assert.match(
        findings["I8"]!.join(),
        new RegExp(`^${name} has applied ${events.length + 1}, .* log has ${events.length} such events`),
      );
      await change(subscriber, [
        sql`delete from subscriptions where split_part(name, '#', 1) = ${name} and name <> ${name}`,
        sql`update subscriptions s set partitions = 0, epoch = k.epoch, xid = k.xid, position = k.position, applied = k.applied from kept k where s.name = k.name`,
        sql`drop table kept`,
      ]);
      assert.deepEqual(brokenIn(await verify(shop.databases)), {});
    }
  });

  it("shows the first twenty breaches and counts the others", async () => {
    await change("notifications", [
      sql`insert into notifications select 'ntf_many_' || n, 'usr_x', 'ORDER_CONFIRMATION', 'ord_' || n, now() from generate_series(1, 30) n`,
    ]);
    const [finding] = await verify(shop.databases, { only: ["I7"] });
    await change("notifications", [sql`delete from notifications where id like 'ntf_many_%'`]);
    assert.deepEqual([finding?.broken, finding?.breaches.length], [30, 20]);
  });

  it("I3, I8: what waits for its subscriber is no breach; a subscriber that does not move beside a running shop is", async () => {
    const order = await shop.place([{ sku: "A", quantity: 1 }]);
    await shop.settle();
    await shop.app.services.get("orders")!.subscriptions.stop();
    await shop.pay(order);
    assert.deepEqual(brokenIn(await verify(shop.databases)), {});
    const findings = brokenIn(await verify(shop.databases, { running: true, now, waitMs: 300 }));
    assert.deepEqual(Object.keys(findings), ["I8"]);
    assert.match(findings["I8"]!.join(), /^orders.payments is at .* in payments's log and has applied nothing of what follows for 0.3 s$/);
  });
});
