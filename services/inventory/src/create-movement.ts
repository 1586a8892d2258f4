import type { CreateMovementRequest, ImportStockRequest, Movement } from "@kontor/contracts/gen/kontor/inventory/v1/inventory_pb.js";
import { MovementKind, StockPolicy } from "@kontor/contracts/gen/kontor/inventory/v1/inventory_pb.js";
import type { Transaction } from "@kontor/platform/database/database.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import { writeSql } from "@kontor/platform/database/writes.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import { openLedger } from "./ledger-store.ts";
import { saveLedger } from "./save-ledger.ts";
import type { LedgerNeeds } from "./save-ledger.ts";
import { policyOf } from "./stock-messages.ts";
import type { Level, Policy } from "./stock.ts";

/** Records goods that came or were written off. Refuses with OUT_OF_STOCK to write off more than is free. */
export async function createMovement(needs: LedgerNeeds, tx: Transaction, request: CreateMovementRequest, call: Call): Promise<Movement> {
  const { sku, quantity, kind } = request;
  await ensureLevels(tx, [sku], needs.clock.now());
  const ledger = await openLedger(tx, [sku], []);
  ledger.move(kind === MovementKind.RECEIVED ? "RECEIVED" : "WRITTEN_OFF", { sku, quantity });
  const { movements, writes } = saveLedger(needs, tx, ledger, { call, note: request.note });
  await tx.run(writeSql(writes!)); // a movement always changes something
  return movements[0]!;
}

/**
 * Sets the units of SKUs: of those that inventory does not know yet, and with `bookDifference` of the others too, by booking the difference. Sets
 * the policies that are named, always. Units that are set aside stay: a count below them is booked down to them only. Units that are promised
 * beyond those that there are stay missing: a count books in only what was counted.
 */
export async function importStock(
  needs: LedgerNeeds,
  tx: Transaction,
  request: ImportStockRequest,
  call: Call,
): Promise<{ booked: number; unchanged: number }> {
  const wanted = new Map(request.stock.map((stock) => [stock.sku, stock]));
  await ensureLevels(tx, [...wanted.keys()], needs.clock.now());
  const ledger = await openLedger(tx, wanted.keys(), []);
  let booked = 0;
  const policies = new Map<string, Policy>();
  for (const [sku, { onHand: count, keepsUnits, policy }] of wanted) {
    const level = ledger.levels.get(sku)!;
    const countsUnits = !keepsUnits && (level.version === 0 || request.bookDifference);
    const difference = countsUnits ? countedUnits(count, level) - level.onHand : 0;
    if (policy !== StockPolicy.STOCK_POLICY_UNSPECIFIED && ledger.setPolicy(sku, policyOf({ policy })))
      policies.set(sku, policyOf({ policy }));
    if (difference !== 0) ledger.move(difference > 0 ? "RECEIVED" : "WRITTEN_OFF", { sku, quantity: Math.abs(difference) });
    if (difference !== 0 || policies.has(sku)) booked++;
  }
  if (policies.size > 0) await storePolicies(tx, policies);
  const { writes } = saveLedger(needs, tx, ledger, { call, note: request.note });
  if (writes !== undefined) await tx.run(writeSql(writes));
  return { booked, unchanged: wanted.size - booked };
}

/** The units after a count. Of what is set aside none are booked out; where more is set aside than there is, the missing units are not booked in. */
function countedUnits(count: number, { onHand, reserved }: Level): number {
  return Math.max(count, Math.min(reserved, onHand));
}

/** What was promised beyond the units that there are stays promised when they are counted again: `floor` is the least that available may be. */
async function storePolicies(tx: Transaction, policies: ReadonlyMap<string, Policy>): Promise<void> {
  await tx.run(sql`update stock s set policy = p.policy, floor = case p.policy when 'COUNTED' then least(0, on_hand - reserved) else 0 end
    from unnest(${[...policies.keys()]}::text[], ${[...policies.values()]}::text[]) as p (sku, policy) where s.sku = p.sku`);
}

/** Rows to lock for SKUs that have none: two movements of a new SKU at the same time must wait for each other. */
async function ensureLevels(tx: Transaction, skus: readonly string[], at: Date): Promise<void> {
  await tx.run(sql`insert into stock (sku, on_hand, reserved, version, updated_at)
    select sku, 0, 0, 0, ${at} from unnest(${skus.toSorted()}::text[]) as s (sku) on conflict (sku) do nothing`);
}
