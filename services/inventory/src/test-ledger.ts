import assert from "node:assert/strict";
import {
  StockClaimedSchema,
  StockMovedSchema,
  StockReleasedSchema,
  StockReservedSchema,
} from "@kontor/contracts/gen/kontor/inventory/v1/events_pb.js";
import { sql } from "@kontor/platform/database/sql.ts";
import { isEvent } from "@kontor/platform/events/events.ts";
import type { RecordedEvent } from "@kontor/platform/events/events.ts";
import type { HostedService } from "@kontor/platform/service/host-service.ts";

/**
 * I1 INV-01 CON-02: of each SKU the level is the sum of its movements, what is set aside is the sum of the reservations held, its events
 * have versions without a gap and, replayed, give each level that they carry and in the end the stored one; no order's units were sold or
 * came back twice.
 */
export async function checkLedger({ database, log }: HostedService): Promise<void> {
  const skus = await database.rows<{
    sku: string;
    onHand: number;
    reserved: number;
    version: number;
    counted: boolean;
    moved: number;
    held: number;
  }>(sql`
    select sku, on_hand as "onHand", reserved, version, policy = 'COUNTED' as counted,
      (select coalesce(sum(quantity), 0)::int from movements m where m.sku = s.sku) as moved,
      (select coalesce(sum(l.quantity), 0)::int from reservations r cross join jsonb_to_recordset(r.lines) as l (sku text, quantity int)
        where r.status = 'HELD' and l.sku = s.sku) as held
    from stock s`);
  for (const { sku, onHand, reserved, version, counted, moved, held } of skus) {
    assert.ok(reserved >= 0 && (reserved <= onHand || !counted), `${sku}: ${reserved} of ${onHand} are reserved`);
    assert.equal(onHand, moved, `${sku}: the level is the sum of the movements`);
    assert.equal(reserved, held, `${sku}: reserved is the sum of the reservations held`);
    assert.deepEqual(
      replay(sku, await log.history(database, sku)),
      { onHand, reserved, version },
      `${sku}: replayed, its events give its level`,
    );
  }
  const twice = await database.rows(
    sql`select order_id, sku, kind from movements where order_id <> '' group by order_id, sku, kind having count(*) > 1
      union all
      select order_id, sku, 'RETURNED' from movements where order_id <> '' group by order_id, sku having sum(quantity) > 0`,
  );
  assert.deepEqual(twice, [], "no order's units moved twice");
}

function replay(sku: string, events: readonly RecordedEvent[]): { onHand: number; reserved: number; version: number } {
  let onHand = 0;
  let reserved = 0;
  for (const [nth, event] of events.entries()) {
    const sum = (items: readonly { quantity: number }[]) => items.reduce((total, { quantity }) => total + quantity, 0);
    if (isEvent(event, StockMovedSchema)) onHand += sum(event.data.movements);
    else if (isEvent(event, StockReservedSchema)) reserved += sum(event.data.orders);
    else if (isEvent(event, StockReleasedSchema)) reserved -= sum(event.data.orders);
    else if (isEvent(event, StockClaimedSchema)) {
      onHand -= sum(event.data.orders);
      reserved -= sum(event.data.orders);
      assert.ok(event.data.stock);
    } else assert.fail(`${event.type} in the stream of ${sku}`);
    const { stock } = event.data;
    assert.equal(event.version, nth + 1);
    assert.deepEqual(
      [stock?.sku, stock?.version, stock?.onHand, stock?.reserved, stock?.available],
      [sku, nth + 1, onHand, reserved, onHand - reserved],
      `${sku}: event ${nth + 1} carries the level after it`,
    );
  }
  return { onHand, reserved, version: events.length };
}
