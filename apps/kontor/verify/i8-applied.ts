import type { Queries } from "@kontor/platform/database/database.ts";
import { countsByType, eventsBetween } from "@kontor/platform/events/log/log-facts.ts";
import type { StreamPosition } from "@kontor/platform/events/log/log-facts.ts";
import { beginning, comparePositions } from "@kontor/platform/events/position.ts";
import type { Checkpoint } from "@kontor/platform/events/checkpoint.ts";
import type { Position } from "@kontor/platform/events/position.ts";
import { reachedPosition } from "@kontor/platform/events/transport/log-progress.ts";
import { readRelayCheckpoint } from "@kontor/platform/events/log/relay-checkpoint.ts";
import { parkedCounts } from "@kontor/platform/events/subscriptions/subscription-facts.ts";
import { subscriptionRows } from "@kontor/platform/events/subscriptions/subscription-store.ts";
import type { SubscriptionTotals } from "@kontor/platform/events/subscriptions/subscription-store.ts";
import { knownSubscriptions } from "./known-subscriptions.ts";
import type { KnownSubscription } from "./known-subscriptions.ts";
import type { Invariant, Look } from "./invariant.ts";
import { groupBy } from "./pages.ts";

const atOnce = 50_000;

interface Reader {
  readonly subscription: KnownSubscription;
  readonly row: SubscriptionTotals;
}

/** No event is lost and none is applied twice: each is applied, parked or skipped, by every subscription that takes its type. */
export const appliedInvariant: Invariant = {
  id: "I8",
  title: "every subscription has applied, parked or skipped each event of its types up to its checkpoint, once",
  counts: "events",
  async *check(look) {
    const subscriptions: Reader[] = [];
    for (const [service, database] of look.databases) {
      if (!hasEvents(service)) continue;
      // A row shows the counters and the checkpoint as one transaction left them.
      for (const row of await subscriptionRows(database)) {
        const subscription = knownSubscriptions.find(({ name }) => name === row.name);
        if (subscription === undefined) yield { about: row.name, text: `nothing is known of the subscription ${row.name} of ${service}` };
        else subscriptions.push({ subscription, row });
      }
    }
    for (const [publisher, readers] of groupBy(subscriptions, ({ subscription }) => subscription.publisher)) {
      const log = new LogWalk(look.database(publisher));
      // After the readers' rows: what has been relayed since is behind what they have read.
      const relayed = await readRelayCheckpoint(look.database(publisher));
      const all = readers.map((reader) => ({ ...reader, reached: reachedOf(reader.row, relayed) }));
      for (const { subscription, row, reached } of all.toSorted((a, b) => comparePositions(a.reached.least, b.reached.least))) {
        await log.walkTo(reached.least);
        const before = subscription.types.reduce((sum, type) => sum + log.count(type), 0);
        const due = before + (await countInPartitions(look.database(publisher), subscription.types, reached));
        const { applied, parked, skipped } = row;
        look.looked(due);
        if (applied + parked + skipped !== due)
          yield {
            about: row.name,
            text: `${row.name} has applied ${applied}, parked ${parked} and skipped ${skipped}, ${publisher}'s log has ${due} such events up to its checkpoint`,
          };
        if (parked > 0) await noteParked(look, subscription);
      }
    }
  },
};

interface Reached {
  readonly least: Position;
  /** Of each partition; none when the subscription reads the whole log. */
  readonly partitions: readonly Position[];
}

function reachedOf(row: SubscriptionTotals, relayed: Checkpoint | undefined): Reached {
  const partitions = row.partitions.map((partition) => reachedPosition(partition, partition.partition, relayed));
  return { least: partitions.toSorted(comparePositions)[0] ?? row, partitions };
}

/** How many events behind the least position are at or before that of their partition. */
async function countInPartitions(log: Queries, types: readonly string[], { least, partitions }: Reached): Promise<number> {
  const last = partitions.toSorted(comparePositions).at(-1);
  if (last === undefined) return 0;
  // The broker's client takes a while to load, and only partitions need it.
  const { partitionOfStream } = await import("@kontor/platform/events/kafka/partition-of-stream.ts");
  let count = 0;
  for (let at = least; comparePositions(at, last) < 0;) {
    const events: readonly StreamPosition[] = await eventsBetween(log, { after: at, to: last, types }, atOnce);
    for (const event of events) if (comparePositions(event, partitions[partitionOfStream(event.stream, partitions.length)]!) <= 0) count++;
    const end = events.at(-1);
    if (end === undefined || events.length < atOnce) break;
    at = end;
  }
  return count;
}

/** Services have logs and subscriptions; the mailbox and the provider have not. */
export function hasEvents(database: string): boolean {
  return database !== "mailbox" && database !== "provider";
}

/** Counts a log's events by type from its beginning on. */
class LogWalk {
  readonly #log: Queries;
  readonly #counts = new Map<string, number>();
  #at: Position = beginning;

  constructor(log: Queries) {
    this.#log = log;
  }

  count(type: string): number {
    return this.#counts.get(type) ?? 0;
  }

  async walkTo(to: Position): Promise<void> {
    for (;;) {
      let found = 0;
      for (const { type, count, epoch, xid, position } of await countsByType(this.#log, { after: this.#at, to }, atOnce)) {
        this.#counts.set(type, this.count(type) + count);
        this.#at = { epoch, xid, position };
        found += count;
      }
      if (found < atOnce) return;
    }
  }
}

async function noteParked(look: Look, { name, subscriber }: KnownSubscription): Promise<void> {
  const { parked, attemptsUsedUp } = await parkedCounts(look.database(subscriber), name);
  look.note(
    `${name} has ${parked} events parked${attemptsUsedUp > 0 ? `, of which ${attemptsUsedUp} wait for an operator (kontor parked)` : ""}`,
  );
}
