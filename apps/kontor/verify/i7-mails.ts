import { notificationFacts } from "@kontor/notifications/src/facts.ts";
import { notificationKeptMs } from "@kontor/notifications/src/retention.ts";
import { orderFacts } from "@kontor/orders/src/facts.ts";
import { mailboxFacts } from "@kontor/platform/mail/mailbox-facts.ts";
import { firstKept } from "./first-kept.ts";
import { IdCounts } from "./id-counts.ts";
import type { Breach, Invariant, Look } from "./invariant.ts";
import { pages } from "./pages.ts";

const atOnce = 2_000;

/** A customer who has paid gets one confirmation, and nobody else gets one. */
export const mailsInvariant: Invariant = {
  id: "I7",
  title:
    "every order that was ever paid has exactly one confirmation mail, by Message-ID, as long as those are kept, and no other order has one",
  counts: "paid orders",
  async *check(look) {
    const confirmed = new IdCounts();
    yield* confirmations(look, confirmed);
    const kept = firstKept("ord", notificationKeptMs, look);
    for await (const page of pages(look.of(orderFacts).everPaid, ({ id }) => id, atOnce)) {
      look.looked(page.length);
      for (const { id } of page) {
        const count = confirmed.count(id);
        if (count > 1) yield { about: id, text: `order ${id} has ${count} confirmations` };
        else if (count === 0 && id >= kept && !look.backlog.waits("notifications.orders", id))
          yield { about: id, text: `order ${id} was paid and has no confirmation` };
      }
    }
  },
};

/** Looks at all confirmations and counts them by order. */
async function* confirmations(look: Look, confirmed: IdCounts): AsyncGenerator<Breach> {
  const notifications = look.of(notificationFacts);
  const caught = look.mailsCaught && look.databases.has("mailbox");
  if (!caught) look.note("mails go to another server than the mailbox: only what was recorded is counted");
  const storedSince = caught ? await look.of(mailboxFacts).storedSince() : undefined;
  let removed = 0;
  let underWay = 0;
  for await (const page of pages(notifications.confirmations, ({ id }) => id, atOnce)) {
    for (const { order } of page) confirmed.add(order);
    const paid = await look.of(orderFacts).paidEvents(page.map(({ order }) => order));
    for (const { id, order } of page)
      if (!paid.has(order)) yield { about: order, text: `the confirmation ${id} is for order ${order}, which was never paid` };

    const toBeSent = await notifications.toBeSent(page.flatMap(({ order, mail }) => (mail === null ? [paid.get(order) ?? ""] : [])));
    const messageIds = page.flatMap(({ mail }) => (mail === null ? [] : [messageIdOf(mail)]));
    const mails = caught ? await look.of(mailboxFacts).stored(messageIds) : new Set(messageIds);
    for (const { id, order, mail, sentAt } of page) {
      if (mail === null) {
        if (toBeSent.has(paid.get(order) ?? "")) underWay++;
        else if (paid.has(order)) yield { about: order, text: `the confirmation ${id} of order ${order} was not sent, and no task will` };
      } else if (!mails.has(messageIdOf(mail))) {
        if (storedSince !== undefined && sentAt !== null && sentAt <= storedSince) removed++;
        else yield { about: order, text: `the confirmation of order ${order} was sent, but the mailbox has no ${messageIdOf(mail)}` };
      }
    }
  }
  if (underWay > 0) look.note(`${underWay} confirmations are still to be sent`);
  if (removed > 0) look.note(`the mailbox was emptied: ${removed} confirmations sent before cannot be counted`);
}

function messageIdOf(mail: string): string {
  return `${mail}@kontor`;
}
