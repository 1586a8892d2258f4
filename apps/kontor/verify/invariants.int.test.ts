import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Order } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import { sql } from "@kontor/platform/database/sql.ts";
import { testBreaks } from "./test-breaks.ts";
import { verify } from "./verify.ts";

describe("verify: stock, orders, money, mails and checkouts", () => {
  const breaks = testBreaks();
  const task = () => sql`(select task from notifications where kind = 'ORDER_CONFIRMATION' and subject = ${breaks.orders.paid.id})`;
  const saga = (order: Order) => sql`position(${Buffer.from(order.id)}::bytea in input) > 0`;

  it("I1: more on hand than the movements sum to", () =>
    breaks.expectBroken({
      in: "inventory",
      broken: [sql`update stock set on_hand = on_hand + 1 where sku = 'A'`],
      repaired: [sql`update stock set on_hand = on_hand - 1 where sku = 'A'`],
      found: { I1: /^SKU A: \d+ on hand, its movements sum to \d+; its row says/ },
    }));

  it("I1: units reserved for nobody", () =>
    breaks.expectBroken({
      in: "inventory",
      broken: [sql`update reservations set status = 'FREED' where order_id = ${breaks.orders.pending.id}`],
      repaired: [sql`update reservations set status = 'HELD' where order_id = ${breaks.orders.pending.id}`],
      found: { I1: /^SKU B: 5 reserved, its held reservations sum to 0$/ },
    }));

  it("I1: movements of a SKU that has no stock row", () =>
    breaks.expectBroken({
      in: "inventory",
      broken: [
        sql`insert into movements (id, sku, kind, quantity, note, order_id, actor, at) values ('mov_ghost', 'GHOST', 'RECEIVED', 1, '', '', '', now())`,
      ],
      repaired: [sql`delete from movements where id = 'mov_ghost'`],
      found: { I1: /^SKU GHOST: it has no stock row/ },
    }));

  it("I1: a reservation that outlives its expiry while a shop runs", () =>
    breaks.expectBroken({
      in: "inventory",
      broken: [],
      repaired: [],
      options: { running: true, now: () => breaks.now(26 * 3_600) },
      found: { I1: new RegExp(`the reservation of order ${breaks.orders.pending.id} is held though it expired`) },
    }));

  it("I2: a paid order whose units are not sold", () =>
    breaks.expectBroken({
      in: "inventory",
      broken: [sql`update reservations set status = 'FREED' where order_id = ${breaks.orders.paid.id}`],
      repaired: [sql`update reservations set status = 'SOLD' where order_id = ${breaks.orders.paid.id}`],
      found: { I2: new RegExp(`the reservation of PAID order ${breaks.orders.paid.id} is FREED, not SOLD`) },
    }));

  it("I2: a paid order with other units than were sold to it", () =>
    breaks.expectBroken({
      in: "inventory",
      broken: [sql`update reservations set lines = '[{"sku":"A","quantity":1}]' where order_id = ${breaks.orders.paid.id}`],
      repaired: [
        sql`update reservations set lines = '[{"sku":"A","quantity":1},{"sku":"B","quantity":4}]' where order_id = ${breaks.orders.paid.id}`,
      ],
      found: { I2: /has 1 × A, 4 × B, its reservation 1 × A$/ },
    }));

  it("I2: more units sold than ever received", () =>
    breaks.expectBroken({
      in: "inventory",
      broken: [sql`update movements set kind = 'RETURNED' where sku = 'LAST' and kind = 'RECEIVED'`],
      repaired: [sql`update movements set kind = 'RECEIVED' where sku = 'LAST' and kind = 'RETURNED'`],
      found: { I2: /^SKU LAST: 1 units are on paid orders and 0 were ever received$/ },
    }));

  it("I2: units sold to an order that is cancelled", () =>
    breaks.expectBroken({
      in: "inventory",
      broken: [sql`update reservations set status = 'SOLD' where order_id = ${breaks.orders.cancelled.id}`],
      repaired: [sql`update reservations set status = 'FREED' where order_id = ${breaks.orders.cancelled.id}`],
      found: { I2: /is SOLD, but the order is CANCELLED$/ },
    }));

  it("I6: an order at another version than its history", () =>
    breaks.expectBroken({
      in: "orders",
      broken: [sql`update orders set version = version + 1 where id = ${breaks.orders.pending.id}`],
      repaired: [sql`update orders set version = version - 1 where id = ${breaks.orders.pending.id}`],
      found: { I6: /its row is at version 2 and it has 1 events$/ },
    }));

  it("I6: an illegal step", async () => {
    const type = "orders.order.completed";
    await breaks.expectBroken({
      in: "orders",
      broken: [sql`update events set type = 'orders.order.placed' where stream = ${breaks.orders.completed.id} and type = ${type}`],
      repaired: [
        sql`update events set type = ${type} where stream = ${breaks.orders.completed.id} and type = 'orders.order.placed' and version > 1`,
      ],
      found: { I6: /orders.order.placed came when it was PAID$/ },
    });
  });

  it("I6: a stored state that is not that of the last event", () =>
    breaks.expectBroken({
      in: "orders",
      broken: [sql`update orders set state = state || '\\xf80101'::bytea where id = ${breaks.orders.pending.id}`],
      repaired: [sql`update orders set state = substring(state for length(state) - 3) where id = ${breaks.orders.pending.id}`],
      found: { I6: /its stored state is another than that of its last event$/ },
    }));

  it("I3: money captured for an order that is not there", async () => {
    const { id } = breaks.orders.paid;
    await breaks.expectBroken({
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
    const { id } = breaks.orders.cancelled;
    await breaks.expectBroken({
      in: "payments",
      broken: [sql`update payments set status = 'OPEN' where order_id = ${id}`],
      repaired: [sql`update payments set status = 'CLOSED' where order_id = ${id}`],
      found: { I3: /is OPEN for order .*, which is CANCELLED$/ },
    });
  });

  it("I3: a charge that the provider has for something that we do not know", () =>
    breaks.expectBroken({
      in: "provider",
      broken: [sql`update charges set reference = 'pay_gone' where reference = ${breaks.orders.paid.payment!.id}`],
      repaired: [sql`update charges set reference = ${breaks.orders.paid.payment!.id} where reference = 'pay_gone'`],
      found: { I3: /is for pay_gone, not for payment .*\nthe provider's charge .* of payment pay_gone, which we do not know$/ },
    }));

  it("I3: a refund that the provider has under another key", async () => {
    const { key } = await breaks.shop
      .database("provider")
      .one<{ key: string }>(sql`select key from refunds where reference = ${breaks.orders.takenBack.payment!.id}`);
    await breaks.expectBroken({
      in: "provider",
      broken: [sql`update refunds set key = 'rfd_gone' where key = ${key}`],
      repaired: [sql`update refunds set key = ${key} where key = 'rfd_gone'`],
      found: { I3: /is REFUND_DONE, and at the provider not there\nthe provider's refund .* is for rfd_gone/ },
    });
  });

  it("I3 and I4: a charge that the provider does not have", async () => {
    await breaks.expectBroken({
      in: "provider",
      broken: [
        sql`create table kept as select * from charges where reference = ${breaks.orders.paid.payment!.id}`,
        sql`delete from charges where reference = ${breaks.orders.paid.payment!.id}`,
      ],
      repaired: [sql`insert into charges select * from kept`, sql`drop table kept`],
      found: { I3: /is SUCCEEDED, and the provider has no charge$/, I4: /we keep 99.95 of it, the provider says 0.00$/ },
    });
  });

  it("I4: an attempt that is charged twice", () =>
    breaks.expectBroken({
      in: "provider",
      broken: [
        sql`alter table charges drop constraint charges_session_key_key`,
        sql`insert into charges select 'ch_twice', session_key, reference, currency, amount, refunded, at from charges where reference = ${breaks.orders.paid.payment!.id}`,
      ],
      repaired: [
        sql`delete from charges where id = 'ch_twice'`,
        sql`alter table charges add constraint charges_session_key_key unique (session_key)`,
      ],
      found: { I4: /was charged 2 times\n.*we keep 99.95 of it, the provider says 199.90$/ },
    }));

  it("I4: another amount at the provider", () =>
    breaks.expectBroken({
      in: "provider",
      broken: [sql`update charges set amount = amount + 1 where reference = ${breaks.orders.paid.payment!.id}`],
      repaired: [sql`update charges set amount = amount - 1 where reference = ${breaks.orders.paid.payment!.id}`],
      found: { I4: /we keep 99.95 of it, the provider says 99.96$/ },
    }));

  it("I4: refunds that do not sum up", () =>
    breaks.expectBroken({
      in: "payments",
      broken: [sql`update payments set refunded = refunded + 1 where order_id = ${breaks.orders.partlyRefunded.id}`],
      repaired: [sql`update payments set refunded = refunded - 1 where order_id = ${breaks.orders.partlyRefunded.id}`],
      found: { I4: /5.01 refunded, its refunds sum to 5.00; we keep 34.97 of it, the provider says 34.98$/ },
    }));

  it("I7: a confirmation that did not arrive", async () => {
    const { id } = await breaks.shop.database("notifications").one<{ id: string }>(sql`select ${task()} || '@kontor' as id`);
    await breaks.expectBroken({
      in: "mailbox",
      broken: [sql`update mails set message_id = 'gone' where message_id = ${id}`],
      repaired: [sql`update mails set message_id = ${id} where message_id = 'gone'`],
      found: { I7: /was sent, but the mailbox has no tsk_.*@kontor$/ },
    });
  });

  it("I7: two confirmations", () =>
    breaks.expectBroken({
      in: "notifications",
      broken: [
        sql`insert into notifications select 'ntf_twice', account, kind, subject, created_at, sent_at, task from notifications where kind = 'ORDER_CONFIRMATION' and subject = ${breaks.orders.paid.id}`,
      ],
      repaired: [sql`delete from notifications where id = 'ntf_twice'`],
      found: { I7: new RegExp(`^order ${breaks.orders.paid.id} has 2 confirmations$`) },
    }));

  it("I7: the confirmation of an order that was never paid", () =>
    breaks.expectBroken({
      in: "notifications",
      broken: [
        sql`update notifications set subject = ${breaks.orders.pending.id} where kind = 'ORDER_CONFIRMATION' and subject = ${breaks.orders.paid.id}`,
      ],
      repaired: [
        sql`update notifications set subject = ${breaks.orders.paid.id} where kind = 'ORDER_CONFIRMATION' and subject = ${breaks.orders.pending.id}`,
      ],
      found: { I7: /which was never paid\norder .* was paid and has no confirmation$/ },
    }));

  it("I7: without a mailbox only what was recorded is counted, and an emptied one is no loss", async () => {
    const [finding] = await verify(breaks.shop.databases, { only: ["I7"], mailsCaught: false });
    assert.deepEqual(
      [finding?.broken, finding?.notes],
      [0, ["mails go to another server than the mailbox: only what was recorded is counted"]],
    );
    await breaks.change("mailbox", [sql`create table kept as select * from mails`, sql`delete from mails`]);
    const [emptied] = await verify(breaks.shop.databases, { only: ["I7"] });
    assert.equal(emptied?.broken, 0);
    assert.match(emptied?.notes.join() ?? "", /^the mailbox was emptied: \d+ confirmations/);
    await breaks.change("mailbox", [
      sql`insert into mails (message_id, position, sender, recipients, subject, received_at, raw) overriding system value
        select message_id, position, sender, recipients, subject, received_at, raw from kept`,
      sql`drop table kept`,
    ]);
  });

  it("I10: a placed checkout without its response", () =>
    breaks.expectBroken({
      in: "checkout",
      broken: [
        sql`create table kept as select id, reply from sagas where ${saga(breaks.orders.paid)}`,
        sql`update sagas set reply = null where ${saga(breaks.orders.paid)}`,
      ],
      repaired: [sql`update sagas set reply = kept.reply from kept where kept.id = sagas.id`, sql`drop table kept`],
      found: { I10: /is DONE, and it has no response$/ },
    }));

  it("I10: an order that no checkout has placed", () =>
    breaks.expectBroken({
      in: "checkout",
      broken: [sql`update sagas set name = 'other' where ${saga(breaks.orders.paid)}`],
      repaired: [sql`update sagas set name = 'place-order' where ${saga(breaks.orders.paid)}`],
      found: { I10: new RegExp(`^order ${breaks.orders.paid.id} has 0 checkouts$`) },
    }));

  it("I10: an order of a checkout that was refused", () =>
    breaks.expectBroken({
      in: "checkout",
      broken: [sql`update sagas set status = 'REFUSED', refusal = '{}' where ${saga(breaks.orders.pending)}`],
      repaired: [sql`update sagas set status = 'DONE', refusal = null where ${saga(breaks.orders.pending)}`],
      found: { I10: /is REFUSED, and its order ord_.* is PENDING$/ },
    }));

  it("I10: a key without a response", () =>
    breaks.expectBroken({
      in: "payments",
      broken: [sql`insert into idempotency_keys (key, fingerprint, created_at, expires_at) values ('x', '', now(), now())`],
      repaired: [sql`delete from idempotency_keys where key = 'x'`],
      found: { I10: /^payments has 1 idempotency keys without a response$/ },
    }));

  it("I11: a checkout that hangs while a shop runs", () =>
    breaks.expectBroken({
      in: "checkout",
      broken: [sql`update sagas set status = 'RUNNING', lease_until = now() + interval '1 hour' where ${saga(breaks.orders.pending)}`],
      repaired: [sql`update sagas set status = 'DONE', lease_until = null where ${saga(breaks.orders.pending)}`],
      options: { running: true, now: () => breaks.now(31) },
      found: { I11: /^checkout chk_.* is RUNNING since 31 s$/ },
    }));
});
