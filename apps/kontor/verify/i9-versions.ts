import { catalogFacts } from "@kontor/catalog/src/facts.ts";
import { inventoryFacts } from "@kontor/inventory/src/facts.ts";
import type { Queries } from "@kontor/platform/database/database.ts";
import { countsByStream, versionsOutOfOrder } from "@kontor/platform/events/log/log-facts.ts";
import type { StreamVersion } from "@kontor/platform/events/log/log-facts.ts";
import { parkedStreams } from "@kontor/platform/events/subscriptions/subscription-facts.ts";
import { subscriptionRows } from "@kontor/platform/events/subscriptions/subscription-store.ts";
import { knownSubscriptions } from "./known-subscriptions.ts";
import type { KnownSubscription } from "./known-subscriptions.ts";
import { hasEvents } from "./i8-applied.ts";
import type { Breach, Invariant, Look } from "./invariant.ts";
import { pages } from "./pages.ts";

const eventsAtOnce = 20_000;
const skusAtOnce = 1_000;
const parkedStreamsMax = 10_000;

/**
 * What can be seen of it afterwards. That versions rise when they are applied is enforced there: the log gives a stream's events in order
 * (checked here), a subscription's checkpoint only moves forward, and a stream with a parked event parks all that follows (checked here). The one
 * copy that is made from events, catalog's availability, must be that of the last event up to the checkpoint.
 */
export const versionsInvariant: Invariant = {
  id: "I9",
  title: "logs give each stream's versions 1..n in order, nothing overtakes a parked event, and copies are of the last version applied",
  counts: "events",
  async *check(look) {
    for (const [service, database] of look.databases) if (hasEvents(service)) yield* streamsInOrder(look, service, database);
    yield* overtakenParked(look);
    yield* availabilityCopies(look);
  },
};

async function* streamsInOrder(look: Look, service: string, log: Queries): AsyncGenerator<Breach> {
  for (let after: StreamVersion | undefined = { stream: "", version: 0 }; after !== undefined;) {
    const { wrong, found, last }: Awaited<ReturnType<typeof versionsOutOfOrder>> = await versionsOutOfOrder(log, after, eventsAtOnce);
    for (const { stream, version } of wrong)
      yield {
        about: `${service} ${stream}`,
        text: `version ${version} of ${stream} in ${service}'s log does not follow on the one before it`,
      };
    // Pages overlap by one event.
    look.looked(after.stream === "" ? found : found - 1);
    after = found < eventsAtOnce ? undefined : last;
  }
}

/** Behind a parked event its stream waits: whatever of it is in the log up to the checkpoint must be parked too, or have been skipped. */
async function* overtakenParked(look: Look): AsyncGenerator<Breach> {
  for (const subscription of knownSubscriptions) {
    const { name, subscriber, publisher } = subscription;
    if (!look.databases.has(subscriber) || !look.databases.has(publisher)) continue;
    const row = (await subscriptionRows(look.database(subscriber))).find((one) => one.name === name);
    // Where events come over a broker each partition has a row, a checkpoint and parked events of its own.
    for (const one of row === undefined ? [] : [row, ...row.partitions]) yield* overtakenIn(look, one.name, subscription);
  }
}

async function* overtakenIn(look: Look, row: string, { subscriber, publisher, types }: KnownSubscription): AsyncGenerator<Breach> {
  const parked = await parkedStreams(look.database(subscriber), row, parkedStreamsMax);
  const [checkpoint] = parked;
  if (checkpoint === undefined) return;
  const from = parked.map(({ stream, first }) => ({ stream, version: first }));
  const counts = await countsByStream(look.database(publisher), from, { to: checkpoint, types });
  const wrong = parked.filter((one) => !one.inOrder || (counts.get(one.stream) ?? 0) !== one.parked);
  // An operator may have skipped some from the middle of a stream; which, nobody has recorded.
  const missing = wrong.reduce((sum, one) => sum + (one.inOrder ? (counts.get(one.stream) ?? 0) - one.parked : Infinity), 0);
  if (missing >= 0 && missing <= checkpoint.skipped) return;
  for (const { stream, first, parked: count } of wrong)
    yield {
      about: `${row} ${stream}`,
      text: `${row} has parked ${count} events of ${stream} from version ${first} on, and the log has ${counts.get(stream) ?? 0} up to its checkpoint`,
    };
}

async function* availabilityCopies(look: Look): AsyncGenerator<Breach> {
  if (!look.databases.has("catalog")) return;
  const inventory = look.of(inventoryFacts);
  for await (const page of pages(inventory.skus, ({ id }) => id, skusAtOnce))
    yield* compareCopies(
      look,
      page.map(({ id }) => id),
    );
  for await (const page of pages(look.of(catalogFacts).copiedSkus, ({ id }) => id, skusAtOnce)) {
    const known = await inventory.knownSkus(page.map(({ id }) => id));
    for (const { id } of page)
      if (!known.has(id)) yield { about: id, text: `catalog has a copy of the stock of SKU ${id}, which inventory does not know` };
  }
}

/** A copy and its checkpoint are of one moment, and the log up to that checkpoint does not change any more. */
async function* compareCopies(look: Look, skus: readonly string[]): AsyncGenerator<Breach> {
  const copies = await look.of(catalogFacts).availability(skus);
  const events = await look.of(inventoryFacts).stockEventsUpTo(copies);
  for (const { stream: sku, copied, available, version, parked } of copies) {
    const event = events.get(sku);
    if (parked || (event === undefined && !copied)) continue;
    if (event?.version !== version)
      yield { about: sku, text: `catalog's copy of SKU ${sku} is of version ${version}, the last applied is ${event?.version ?? 0}` };
    else if (event.stock?.available !== available)
      yield {
        about: sku,
        text: `catalog says that ${available} of SKU ${sku} are available, version ${version} of its stock says ${event.stock?.available ?? "nothing"}`,
      };
  }
}
