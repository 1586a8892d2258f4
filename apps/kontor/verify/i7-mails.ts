import { OrderPaidSchema } from "@kontor/contracts/gen/kontor/orders/v1/events_pb.js";
import { eventTypeOf } from "@kontor/platform/contract/contract.ts";
import type { Queries } from "@kontor/platform/database/database.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import { IdCounts } from "./id-counts.ts";
import type { Breach, Invariant, Look } from "./invariant.ts";
import { byId, pages } from "./pages.ts";

const atOnce = 2_000;
const paidType = eventTypeOf(OrderPaidSchema);

interface Confirmation {
  readonly id: string;
  readonly order: string;
  readonly task: string | null;
  readonly sentAt: Date | null;
}

/** A customer who has paid is told so once, and nobody else is. */
export const mailsInvariant: Invariant = {
  id: "I7",
  title: "every order that was ever paid has exactly one confirmation mail, by Message-ID, and no other order has one",
  counts: "paid orders",
  async *check(look) {
    const confirmed = new IdCounts();
    yield* confirmations(look, confirmed);
    const read = (after: string, limit: number) =>
      look.of("orders").rows<{ id: string }>(sql`
        select id from orders o where id > ${after}
          and (status in ('PAID', 'COMPLETED') or status = 'CANCELLED' and exists (select from events where stream = o.id and type = ${paidType}))
        order by id limit ${limit}`);
    for await (const page of pages(read, ({ id }) => id, atOnce)) {
      look.looked(page.length);
      for (const { id } of page) {
        const count = confirmed.count(id);
        if (count > 1) yield { about: id, text: `order ${id} has ${count} confirmations` };
        else if (count === 0 && !look.backlog.waits("notifications.orders", id))
          yield { about: id, text: `order ${id} was paid and has no confirmation` };
      }
    }
  },
};

/** Looks at all confirmations and counts them by order. */
async function* confirmations(look: Look, confirmed: IdCounts): AsyncGenerator<Breach> {
  const notifications = look.of("notifications");
  const caught = look.mailsCaught && look.databases.has("mailbox");
  if (!caught) look.note("mails go to another server than the mailbox: only what was noted down is counted");
  const keptSince = caught ? await mailsKeptSince(look.of("mailbox")) : undefined;
  let thrownAway = 0;
  let underWay = 0;
  const read = (after: string, limit: number) =>
    notifications.rows<Confirmation>(sql`
      select id, subject as "order", task, sent_at as "sentAt" from notifications
      where kind = 'ORDER_CONFIRMATION' and id > ${after} order by id limit ${limit}`);
  for await (const page of pages(read, ({ id }) => id, atOnce)) {
    for (const { order } of page) confirmed.add(order);
    const paid = await paidEvents(
      look.of("orders"),
      page.map(({ order }) => order),
    );
    for (const { id, order } of page)
      if (!paid.has(order)) yield { about: order, text: `the confirmation ${id} is for order ${order}, which was never paid` };

    const toBeSent = await tasksToBeDone(
      notifications,
      page.flatMap(({ order, task }) => (task === null ? [paid.get(order)?.event ?? ""] : [])),
    );
    const messageIds = page.flatMap(({ task }) => (task === null ? [] : [messageIdOf(task)]));
    const mails = caught ? await mailsThere(look.of("mailbox"), messageIds) : new Set(messageIds);
    for (const { id, order, task, sentAt } of page) {
      if (task === null) {
        if (toBeSent.has(paid.get(order)?.event ?? "")) underWay++;
        else if (paid.has(order)) yield { about: order, text: `the confirmation ${id} of order ${order} was not sent, and no task will` };
      } else if (!mails.has(messageIdOf(task))) {
        if (keptSince !== undefined && sentAt !== null && sentAt <= keptSince) thrownAway++;
        else yield { about: order, text: `the confirmation of order ${order} was sent, but the mailbox has no ${messageIdOf(task)}` };
      }
    }
  }
  if (underWay > 0) look.note(`${underWay} confirmations are still to be sent`);
  if (thrownAway > 0) look.note(`the mailbox was emptied: ${thrownAway} confirmations sent before cannot be counted`);
}

function messageIdOf(task: string): string {
  return `${task}@kontor`;
}

/** Of these orders those that were ever paid, with the id of the event that said so. */
async function paidEvents(orders: Queries, ids: readonly string[]): Promise<Map<string, { readonly id: string; readonly event: string }>> {
  return byId(
    await orders.rows(sql`select stream as id, id as event from events where stream = any(${ids}::text[]) and type = ${paidType}`),
  );
}

/** Confirmations are sent by tasks whose key is the event. */
async function tasksToBeDone(notifications: Queries, keys: readonly string[]): Promise<Set<string>> {
  if (keys.length === 0) return new Set();
  const rows = await notifications.rows<{ key: string }>(
    sql`select key from tasks where queue = 'send-notification' and key = any(${keys}::text[]) and state = 'waiting'`,
  );
  return new Set(rows.map(({ key }) => key));
}

async function mailsThere(mailbox: Queries, messageIds: readonly string[]): Promise<Set<string>> {
  const rows = await mailbox.rows<{ id: string }>(sql`select message_id as id from mails where message_id = any(${messageIds}::text[])`);
  return new Set(rows.map(({ id }) => id));
}

/** When the first mail came that the mailbox still has: undefined when it has all, far in the future when it has none of many. */
async function mailsKeptSince(mailbox: Queries): Promise<Date | undefined> {
  const first = await mailbox.maybe<{ position: number; at: Date }>(
    sql`select position::float8 as position, received_at as at from mails order by mails.position limit 1`,
  );
  if (first !== undefined) return first.position === 1 ? undefined : first.at;
  const { last } = await mailbox.one<{ last: bigint | null }>(
    sql`select pg_sequence_last_value(pg_get_serial_sequence('mails', 'position')::regclass) as last`,
  );
  return last === null ? undefined : new Date(8.64e15);
}
