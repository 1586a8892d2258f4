import assert from "node:assert/strict";
import { performance } from "node:perf_hooks";
import { before, describe, it } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { listParked } from "@kontor/platform/events/subscriptions/parked.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import { openBrokerNoise } from "@kontor/platform/testing/broker-noise.ts";
import { asOperator } from "./operator.ts";
import type { Operator } from "./operator.ts";
import { assertHealthy, openOutageShop, startTraffic } from "./outage-shop.ts";
import type { OutageShop } from "./outage-shop.ts";
import type { Shopper } from "./shopper.ts";
import { onServers } from "./topologies.ts";

/** How many orders must be placed in each part, at least. */
const orders = Number(process.env["KONTOR_ORDERS"] ?? 20);
/** How many records that are no events come on each topic. */
const invalidRecords = Number(process.env["KONTOR_INVALID_RECORDS"] ?? 5);
/** In how long an order beside the poison must be paid and confirmed. */
const lagMs = Number(process.env["KONTOR_LAG_MS"] ?? 2_000);
/** Five tries, with 1, 2, 4 and 8 seconds between them. */
const givenUpWithinMs = 40_000;

describe("poison among the events of a shop on Kafka", () => {
  let open: OutageShop;

  before(async () => {
    open = await openOutageShop(onServers);
  });

  it(
    "R17 MSG-06: after five tries it is put aside with its cause, its neighbours flow on meanwhile, and a replay applies it once",
    { timeout: 150_000 },
    async (t) => {
      const { shop, shoppers } = open;
      const [poisoned] = shoppers as [Shopper];
      const noise = openBrokerNoise(shop.environment["KONTOR_NAMESPACE"]!);
      const traffic = startTraffic(open);
      await traffic.more(orders, 20_000);
      await asOperator(shop.environment, async (operator) => {
        await setPoison(operator, poisoned);
        const [records, undecodable] = await Promise.all([noise.litter(invalidRecords), recordUndecodable(operator)]);
        await traffic.more(orders, 30_000);
        const [neighbour] = await operator.shoppers(shop, 1);
        const lags = await lagOf(neighbour!, open.sku);
        t.diagnostic(`${records} records that are no events; neighbours paid and confirmed after ${lags.join(", ")} ms`);
        assert(Math.max(...lags) <= lagMs, `${lags.join(", ")} ms`);

        const givenUp = await untilGivenUp(operator, "notifications", "notifications.orders");
        assert.match(givenUp.cause, /poisoned/);
        await traffic.stop();
        assert.deepEqual([...traffic.refused], []);
        const unread = await untilGivenUp(operator, "orders", "orders.payments");
        assert.equal(unread.id, undecodable);

        await removePoison(operator);
      });
      const dropped = shop.lines
        .filter((line) => line.includes("a record on a topic is not an event"))
        .map((line) => JSON.parse(line) as InvalidRecord);
      const found = Map.groupBy(dropped, ({ subscription }) => subscription);
      for (const [subscription, lines] of found)
        assert.equal(
          new Set(lines.map(({ partition, offset }) => `${partition}/${offset}`)).size,
          invalidRecords,
          `put aside by ${subscription}`,
        );
      assert(found.has("orders.payments") && found.has("notifications.orders"), [...found.keys()].join(", "));
      const replayed = await shop.run(["parked", "replay", "--service", "notifications"]);
      assert.match(replayed.output, /^[1-9]\d* events are tried again/);
      const skipped = await shop.run(["parked", "skip", "--service", "orders", "--all"]);
      assert.match(skipped.output, /^1 events were skipped/);
      await assertHealthy(shop, traffic);
      const again = await shop.run(["parked", "replay"]);
      assert.match(again.output, /^No such event is parked/);
    },
  );
});

/** What a log line says of a record that is no event. */
interface InvalidRecord {
  readonly subscription: string;
  readonly partition: number;
  readonly offset: number;
}

/** Whatever is to be confirmed to this shopper fails, as it would with a fault in the code or its data. */
async function setPoison({ app }: Operator, shopper: Shopper): Promise<void> {
  const { sub } = JSON.parse(Buffer.from(shopper.token!.split(".")[1]!, "base64url").toString()) as { sub: string };
  assert.match(sub, /^\w+$/);
  await app.databases.get("notifications")!.maintenance((tx) =>
    tx.script(`
      create function poison() returns trigger language plpgsql as $$ begin raise exception 'poisoned'; end $$;
      create trigger poison before insert on notifications for each row when (new.kind = 'ORDER_CONFIRMATION' and new.account = '${sub}') execute function poison();`),
  );
}

async function removePoison({ app }: Operator): Promise<void> {
  await app.databases.get("notifications")!.maintenance((tx) => tx.script("drop trigger poison on notifications; drop function poison()"));
}

/** An event of payments' log whose data cannot be decoded. Returns its id. */
async function recordUndecodable({ app }: Operator): Promise<string> {
  const { id } = await app.databases.get("payments")!.one<{ id: string }>(sql`
    insert into events (epoch, xid, id, stream, version, type, data, actor, trace, correlation, causation, at)
    select epoch, pg_current_xact_id(), 'evt_undecodable', 'pay_undecodable', 1, 'payments.payment.captured', '\\xff', 'payments', '', '', '', now()
    from log_epoch returning id`);
  return id;
}

/** How long it takes until an order of this shopper's is paid and confirmed, some times. */
async function lagOf(shopper: Shopper, sku: string): Promise<number[]> {
  const lags: number[] = [];
  for (let nth = 0; nth < 5; nth++) {
    const { body } = await shopper.order([{ sku, quantity: 1 }]);
    const answer = await shopper.pay(body.payment.url);
    await answer.arrayBuffer();
    const paidMs = performance.now();
    const subject = `Your order ${body.id} is paid`;
    while (!(await shopper.inbox()).some((mail) => mail.subject === subject)) await pause(10);
    lags.push(Math.round(performance.now() - paidMs));
  }
  return lags;
}

/** Waits until the tries of a subscription's first parked event are used up. */
async function untilGivenUp({ app }: Operator, service: string, subscription: string) {
  for (const startMs = performance.now(); ; await pause(100)) {
    const parked = await listParked(app.databases.get(service)!, { subscription });
    const givenUp = parked.find(({ attempts, nextAttemptAt }) => attempts === 5 && nextAttemptAt === null);
    if (givenUp !== undefined) return givenUp;
    assert(performance.now() - startMs < givenUpWithinMs, JSON.stringify(parked));
  }
}
