import { performance } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import type { Queries } from "@kontor/platform/database/database.ts";
import { eventsBetween, logHead } from "@kontor/platform/events/log/log-facts.ts";
import type { StreamPosition } from "@kontor/platform/events/log/log-facts.ts";
import { beginning, comparePositions } from "@kontor/platform/events/position.ts";
import type { Position } from "@kontor/platform/events/position.ts";
import { reachedPosition } from "@kontor/platform/events/transport/log-progress.ts";
import { readRelayCheckpoint } from "@kontor/platform/events/log/relay-checkpoint.ts";
import { retriedStreams } from "@kontor/platform/events/subscriptions/subscription-facts.ts";
import { subscriptionRows } from "@kontor/platform/events/subscriptions/subscription-store.ts";
import { knownSubscriptions } from "./known-subscriptions.ts";
import type { KnownSubscription } from "./known-subscriptions.ts";
import { groupBy } from "./pages.ts";

/** Which events have not had their effect yet. */
export interface Backlog {
  /** Whether an event of this stream is still to be applied by the subscription: what follows from it cannot be there yet. */
  waits(subscription: string, stream: string): boolean;
}

/** How far a subscription, or one of its partitions, has read its publisher's log. */
interface Checkpoint extends Position {
  readonly subscription: KnownSubscription;
  /** Absent for a subscription without partitions. */
  readonly partition?: { readonly number: number; readonly of: number };
}

const pollMs = 100;
const pageSize = 10_000;

/**
 * Waits until every subscription has passed what is in its publisher's log now, at most `waitMs`. Gives those that have not moved at all
 * in that time although there was something to apply, in words.
 */
export async function waitForSubscribers(databases: ReadonlyMap<string, Queries>, waitMs: number): Promise<string[]> {
  const untilMs = performance.now() + waitMs;
  const publishers = [...new Set(knownSubscriptions.map(({ publisher }) => publisher))].filter((name) => databases.has(name));
  const heads = new Map(
    await Promise.all(publishers.map(async (publisher) => [publisher, await logHead(databases.get(publisher)!)] as const)),
  );
  const first = await checkpoints(databases);
  for (let now = first; ; now = await checkpoints(databases)) {
    const behind: Checkpoint[] = [];
    for (const checkpoint of now) {
      const { publisher } = checkpoint.subscription;
      const head = heads.get(publisher)!;
      if (comparePositions(checkpoint, head) < 0 && (await anyBetween(databases.get(publisher)!, checkpoint, head)))
        behind.push(checkpoint);
    }
    if (behind.length === 0) return [];
    if (performance.now() + pollMs >= untilMs)
      return behind.filter((checkpoint) => first.some((before) => unmoved(before, checkpoint))).map(stuck);
    await sleep(pollMs);
  }

  function unmoved(before: Checkpoint, now: Checkpoint): boolean {
    return (
      before.subscription === now.subscription && before.partition?.number === now.partition?.number && comparePositions(before, now) === 0
    );
  }
  function stuck({ subscription: { name, publisher }, epoch, xid, position }: Checkpoint): string {
    return `${name} is at ${epoch}/${xid}/${position} in ${publisher}'s log and has applied nothing of what follows for ${waitMs / 1000} s`;
  }
}

/** Reads which events wait, behind the subscriptions' checkpoints or parked to be tried again. */
export async function readBacklog(databases: ReadonlyMap<string, Queries>): Promise<Backlog> {
  const waiting = new Map<string, Set<string>>();
  for (const checkpoint of await checkpoints(databases)) {
    const { name, subscriber, publisher } = checkpoint.subscription;
    const streams = waiting.get(name) ?? new Set<string>();
    for await (const stream of streamsBehind(databases.get(publisher)!, checkpoint)) streams.add(stream);
    // One whose attempts are used up waits for an operator: the effect that it does not have is missing.
    for (const stream of await retriedStreams(databases.get(subscriber)!, name)) streams.add(stream);
    waiting.set(name, streams);
  }
  return { waits: (subscription, stream) => waiting.get(subscription)?.has(stream) === true };
}

/** The checkpoints of the subscriptions whose subscriber and publisher are among the databases. */
async function checkpoints(databases: ReadonlyMap<string, Queries>): Promise<Checkpoint[]> {
  const bySubscriber = groupBy(
    knownSubscriptions.filter(({ subscriber, publisher }) => databases.has(subscriber) && databases.has(publisher)),
    ({ subscriber }) => subscriber,
  );
  const found = await Promise.all(
    Array.from(bySubscriber, async ([subscriber, subscriptions]) => {
      const rows = await subscriptionRows(databases.get(subscriber)!);
      return Promise.all(
        subscriptions.map(async (subscription): Promise<Checkpoint[]> => {
          const row = rows.find(({ name }) => name === subscription.name);
          if (row === undefined || row.partitions.length === 0) return [{ ...(row ?? beginning), subscription }];
          const relayed = await readRelayCheckpoint(databases.get(subscription.publisher)!);
          return row.partitions.map((one) => {
            const partition = { number: one.partition, of: row.partitions.length };
            return { ...reachedPosition(one, one.partition, relayed), subscription, partition };
          });
        }),
      );
    }),
  );
  return found.flat(2);
}

/** The streams of the events that a subscription, or its partition, has still to look at: one after the other, some several times. */
async function* streamsBehind(
  log: Queries,
  { subscription: { types }, partition, ...from }: Checkpoint,
  to?: Position,
): AsyncGenerator<string> {
  const isOwn = partition === undefined ? () => true : await inPartition(partition);
  for (let after: Position = from; ;) {
    const events: readonly StreamPosition[] = await eventsBetween(log, { after, types, ...(to && { to }) }, pageSize);
    for (const { stream } of events) if (isOwn(stream)) yield stream;
    const last = events.at(-1);
    if (last === undefined || events.length < pageSize) return;
    after = last;
  }
}

/** Whether a stream's events are in a partition. */
async function inPartition({ number, of }: NonNullable<Checkpoint["partition"]>): Promise<(stream: string) => boolean> {
  // The broker's client takes a while to load, and only partitions need it.
  const { partitionOfStream } = await import("@kontor/platform/events/kafka/partition-of-stream.ts");
  return (stream) => partitionOfStream(stream, of) === number;
}

async function anyBetween(log: Queries, after: Checkpoint, to: Position): Promise<boolean> {
  for await (const _ of streamsBehind(log, after, to)) return true;
  return false;
}
