import type { Queries } from "@kontor/platform/database/database.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import type { Breach, Invariant, Look } from "./invariant.ts";
import { chunks, pages } from "./pages.ts";
import { stockOfEvent } from "./read-event.ts";

const skusAtOnce = 1_000;
const exactAtOnce = 200;
const movementsAtOnce = 50_000;
const reservationsAtOnce = 5_000;
const expiryMsMax = 10_000;

/** A SKU's stock row with what it must agree with. Null where there is none. */
interface Figures {
  readonly sku: string;
  readonly onHand: number | null;
  readonly reserved: number | null;
  readonly version: number | null;
  readonly moved: number;
  readonly held: number;
  readonly eventVersion: number | null;
  readonly type: string | null;
  readonly data: Uint8Array | null;
}

/** The stock ledger: rows, movements, reservations and events say the same. */
export const stockInvariant: Invariant = {
  id: "I1",
  title: "on hand is the sum of the movements, reserved that of the held reservations, and the last event says so too",
  counts: "SKUs",
  async *check(look) {
    const inventory = look.of("inventory");
    const moved = await movedBySku(inventory);
    const held = await heldBySku(inventory);
    const strangers = new Set([...moved.keys(), ...held.keys()]);
    const suspects: string[] = [];
    const read = (after: string, limit: number) =>
      inventory.rows<Omit<Figures, "moved" | "held">>(sql`
        select ${figureColumns} from (select sku from stock where sku > ${after} order by sku limit ${limit}) w join stock s on s.sku = w.sku ${lastEvent}
        order by w.sku`);
    for await (const page of pages(read, ({ sku }) => sku, skusAtOnce)) {
      look.looked(page.length);
      for (const figures of page) {
        const { sku } = figures;
        strangers.delete(sku);
        if (problemsOf({ ...figures, moved: moved.get(sku) ?? 0, held: held.get(sku) ?? 0 }).length > 0) suspects.push(sku);
      }
    }
    suspects.push(...strangers);
    // Read apart, the sums and the row of a SKU that is just being sold do not agree; read in one statement they must.
    for (const skus of chunks(suspects, exactAtOnce))
      for (const figure of await exactFiguresOf(inventory, skus)) {
        const problems = problemsOf(figure);
        if (problems.length > 0) yield { about: figure.sku, text: `SKU ${figure.sku}: ${problems.join("; ")}` };
      }
    if (look.running) yield* outlivedReservations(inventory, look);
  },
};

async function heldBySku(inventory: Queries): Promise<Map<string, number>> {
  const held = new Map<string, number>();
  const read = (after: string, limit: number) =>
    inventory.rows<{ order_id: string; lines: readonly { sku: string; quantity: number }[] }>(
      sql`select order_id, lines from reservations where status = 'HELD' and order_id > ${after} order by order_id limit ${limit}`,
    );
  for await (const page of pages(read, ({ order_id }) => order_id, reservationsAtOnce))
    for (const { lines } of page) for (const { sku, quantity } of lines) held.set(sku, (held.get(sku) ?? 0) + quantity);
  return held;
}

async function movedBySku(inventory: Queries): Promise<Map<string, number>> {
  const moved = new Map<string, number>();
  for (let after = ""; ;) {
    const rows = await inventory.rows<{ sku: string; sum: number; count: number; last: string }>(sql`
      with page as (select id, sku, quantity from movements where id > ${after} order by id limit ${movementsAtOnce})
      select sku, sum(quantity)::float8 as sum, count(*)::int as count, (select id from page order by id desc limit 1) as last from page group by sku`);
    for (const { sku, sum } of rows) moved.set(sku, (moved.get(sku) ?? 0) + sum);
    const [first] = rows;
    if (first === undefined || rows.reduce((sum, { count }) => sum + count, 0) < movementsAtOnce) return moved;
    after = first.last;
  }
}

const figureColumns = sql`w.sku, s.on_hand as "onHand", s.reserved, s.version, e.version as "eventVersion", e.type, e.data`;
const lastEvent = sql`left join lateral (select version, type, data from events where stream = w.sku order by version desc limit 1) e on true`;

/** All in one statement, which is one moment. Looks through all held reservations. */
function exactFiguresOf(inventory: Queries, skus: readonly string[]): Promise<Figures[]> {
  return inventory.rows(sql`
    select ${figureColumns}, coalesce(m.moved, 0)::float8 as moved, coalesce(h.held, 0)::float8 as held
    from unnest(${skus}::text[]) as w (sku) left join stock s on s.sku = w.sku ${lastEvent}
    left join (select sku, sum(quantity) as moved from movements where sku = any(${skus}::text[]) group by sku) m on m.sku = w.sku
    left join (
      select l.sku, sum(l.quantity) as held from reservations r cross join lateral jsonb_to_recordset(r.lines) as l (sku text, quantity int)
      where r.status = 'HELD' and l.sku = any(${skus}::text[]) group by l.sku
    ) h on h.sku = w.sku`);
}

function problemsOf({ sku, onHand, reserved, version, moved, held, eventVersion, type, data }: Figures): string[] {
  if (onHand === null || reserved === null || version === null)
    return moved === 0 && held === 0 && eventVersion === null
      ? []
      : [`it has no stock row, but movements of ${moved} units and ${held} held`];
  const problems: string[] = [];
  if (onHand !== moved) problems.push(`${onHand} on hand, its movements sum to ${moved}`);
  if (reserved !== held) problems.push(`${reserved} reserved, its held reservations sum to ${held}`);
  if (onHand < 0 || reserved < 0) problems.push(`${onHand} on hand and ${reserved} reserved: below zero`);
  if (reserved > onHand) problems.push(`${reserved} reserved of ${onHand} on hand: available is below zero`);
  if (version !== (eventVersion ?? 0)) problems.push(`its row is at version ${version}, its last event at ${eventVersion ?? 0}`);
  if (type === null || data === null) {
    // A row is made before its first movement is booked.
    if (onHand !== 0 || reserved !== 0) problems.push("it has units and no events");
    return problems;
  }
  const stock = stockOfEvent(type, data);
  if (stock === undefined) problems.push(`its last event (${type}) cannot be read`);
  else if (
    stock.sku !== sku ||
    stock.onHand !== onHand ||
    stock.reserved !== reserved ||
    stock.available !== onHand - reserved ||
    stock.version !== version
  )
    problems.push(
      `its row says ${onHand} on hand and ${reserved} reserved at version ${version}, ` +
        `its last event ${stock.onHand}, ${stock.reserved} and ${stock.available} available at ${stock.version}`,
    );
  return problems;
}

async function* outlivedReservations(inventory: Queries, { now }: Look): AsyncGenerator<Breach> {
  const late = new Date(now.getTime() - expiryMsMax);
  const rows = await inventory.rows<{ order_id: string; expires_at: Date }>(
    sql`select order_id, expires_at from reservations where status = 'HELD' and expires_at < ${late} order by expires_at limit 10000`,
  );
  for (const { order_id: order, expires_at } of rows)
    yield { about: order, text: `the reservation of order ${order} is held though it expired at ${expires_at.toISOString()}` };
}
