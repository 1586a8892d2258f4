import { setTimeout as sleep } from "node:timers/promises";
import type { Clock } from "../../clock/clock.ts";
import type { Database } from "../../database/database.ts";
import type { Clients } from "../../rpc/rpc.ts";
import type { Logger } from "../../telemetry/logger.ts";
import type { Subscription } from "../events.ts";
import { comparePositions, positionOf } from "../position.ts";
import type { Position } from "../position.ts";
import type { EventTransport, Partitioning } from "../transport/event-transport.ts";
import { reachedPosition } from "../transport/log-progress.ts";
import { readLogProgress } from "../transport/rpc-source.ts";
import { untilAborted } from "../until-aborted.ts";
import type { LeaseManager } from "./lease-manager.ts";
import { partitionName } from "./partition-name.ts";
import { SharedBatches } from "./shared-batches.ts";
import { SubscriptionLoop } from "./subscription-loop.ts";
import type { LoopOptions } from "./subscription-loop.ts";
import { joinSubscription, splitSubscription } from "./subscription-partitions.ts";
import { hasCaughtUp, lagOf } from "./subscription-progress.ts";
import type { PartitionProgress } from "./subscription-progress.ts";
import { subscriptionRows } from "./subscription-store.ts";
import type { SubscriptionTotals } from "./subscription-store.ts";

const checkMs = 50;
const retryMs = 1_000;

export interface SubscriptionStatus {
  readonly name: string;
  readonly publisher: string;
  /** Events that had their effect, replayed ones included. */
  readonly applied: number;
  readonly parked: number;
  readonly skipped: number;
  readonly position: Position;
  /** About how many events of the publisher's log, of any type, have not been read yet: 0 exactly when there is none. */
  readonly lag: number;
}

export interface RunningNeeds {
  readonly service: string;
  readonly database: Database;
  readonly clients: Clients;
  readonly clock: Clock;
  readonly log: Logger;
  readonly transport: EventTransport;
  readonly leaseManager: LeaseManager;
  readonly options: LoopOptions;
  /** Aborted when the service stops. */
  readonly stopping: AbortSignal;
  readonly onParked: () => void;
  /** Called when the broker cannot say how many partitions there are: the request is repeated until it can. */
  readonly onStartFailure: (error: unknown, subscription: Subscription) => void;
}

interface PartitionLoop {
  readonly partition: number | undefined;
  readonly loop: SubscriptionLoop;
}

/** One subscription in this process: with one loop, or with one for each partition of its publisher's log. */
export class RunningSubscription {
  readonly #needs: RunningNeeds;
  readonly #subscription: Subscription;
  /** Empty until the number of partitions is known. */
  #loops: readonly PartitionLoop[] = [];
  readonly #opened = Promise.withResolvers<void>();
  readonly #endings: (() => Promise<void> | void)[] = [];
  #opening: Promise<void> | undefined;

  constructor(subscription: Subscription, needs: RunningNeeds) {
    this.#subscription = subscription;
    this.#needs = needs;
  }

  /** Starts with the partitions registered in the database: 0 when there are none. Does not wait for a broker. */
  async start(partitions: number): Promise<void> {
    const { partitioning } = this.#needs.transport;
    if (partitioning !== undefined && partitions === 0) void this.#openWhenPartitionsAreKnown(partitioning);
    else await this.#open(partitions);
  }

  /** After `stopping` has been aborted. Ends after the batches under way. */
  async stop(): Promise<void> {
    await this.#opening?.catch(() => undefined); // its caller got the error
    await Promise.all([...this.#endings.map(async (end) => end()), ...this.#loops.map(({ loop }) => loop.stop())]);
  }

  /** Resolves when every event committed before this call is applied or parked, in whatever process. Rejects when the service stops before. */
  caughtUp(): Promise<void> {
    return untilAborted(this.#catchUp(), this.#needs.stopping);
  }

  async #catchUp(): Promise<void> {
    const { transport, stopping } = this.#needs;
    const log = await transport.logProgress(this.#subscription.publisher, stopping);
    await this.#opened.promise;
    while (!stopping.aborted) {
      const progress = this.#progress(this.#loops, await this.#row());
      const behind = this.#loops.filter((_, nth) => !hasCaughtUp(progress[nth]!, log));
      if (behind.length === 0) return;
      for (const { loop } of behind) loop.hurry();
      await Promise.race(behind.map(({ loop }) => loop.progressed(checkMs)));
    }
  }

  async status(): Promise<SubscriptionStatus> {
    // Before the row is read: a partition that is opened meanwhile is not in that row.
    const loops = this.#loops;
    const row = await this.#row();
    const { name, publisher, applied, parked, skipped } = row;
    const log = await this.#needs.transport.logProgress(publisher);
    const progress = loops.length === 0 ? [{ partition: undefined, checkpoint: row }] : this.#progress(loops, row);
    const positions = progress.map(({ partition, checkpoint }) => reachedPosition(checkpoint, partition, log.relayed));
    return {
      name,
      publisher,
      applied,
      parked,
      skipped,
      position: positionOf(positions.toSorted(comparePositions)[0]!),
      lag: lagOf(progress, log),
    };
  }

  async #openWhenPartitionsAreKnown(partitioning: Partitioning): Promise<void> {
    const { database, stopping, onStartFailure } = this.#needs;
    const { name, publisher } = this.#subscription;
    while (!stopping.aborted) {
      try {
        const partitions = await partitioning.partitions(publisher);
        if (stopping.aborted) return;
        this.#opening = splitSubscription(database, name, partitions, partitioning.partitionOf).then((known) => this.#open(known));
        await this.#opening;
        return;
      } catch (error) {
        if (stopping.aborted) return;
        onStartFailure(error, this.#subscription);
        await sleep(retryMs, undefined, { signal: stopping }).catch(() => undefined); // aborted: the loop ends
      }
    }
  }

  async #open(partitions: number): Promise<void> {
    const { database, clients, service, transport, leaseManager, options } = this.#needs;
    const { name, publisher, pauseMs = options.pauseMs } = this.#subscription;
    if (transport.partitioning === undefined) {
      if (partitions > 0) await joinSubscription(database, name, (await readLogProgress(clients, service, publisher, true)).relayed);
      this.#loops = [this.#startLoop(undefined)];
    } else {
      const shared = new SharedBatches({ ...options, subscription: this.#subscription, database, pauseMs });
      this.#endings.push(() => shared.close());
      this.#loops = Array.from({ length: partitions }, (_, partition) => this.#startLoop(partition, shared));
    }
    await leaseManager.add(this.#loops.map(({ loop }) => loop));
    this.#opened.resolve();
  }

  #startLoop(partition: number | undefined, shared?: SharedBatches): PartitionLoop {
    const { transport, leaseManager, options } = this.#needs;
    const { name, pauseMs = options.pauseMs } = this.#subscription;
    const loop = new SubscriptionLoop({
      ...this.#needs,
      subscription: { ...this.#subscription, name: partition === undefined ? name : partitionName(name, partition) },
      source: transport.source(this.#subscription, partition),
      options: { ...options, pauseMs },
      onLeaseLost: () => leaseManager.checkSoon(),
      ...(shared && { shared }),
    });
    this.#endings.push(transport.listen(this.#subscription, partition, () => loop.wake()));
    loop.start();
    return { partition, loop };
  }

  async #row(): Promise<SubscriptionTotals> {
    const row = (await subscriptionRows(this.#needs.database)).find(({ name }) => name === this.#subscription.name);
    if (row === undefined) throw new Error(`${this.#subscription.name} has not been started`);
    return row;
  }

  /** The checkpoint of each loop: its own progress while it holds the lease, or the stored checkpoint. */
  #progress(loops: readonly PartitionLoop[], row: SubscriptionTotals): PartitionProgress[] {
    return loops.map(({ partition, loop }) => {
      const stored = partition === undefined ? row : row.partitions.find((each) => each.partition === partition);
      if (stored === undefined) throw new Error(`${loop.name} has not been started`);
      if (loop.progress !== undefined && loop.lease?.fence === stored.fence) return { partition, checkpoint: loop.progress };
      // The subscription was reset, or another process holds the lease, and this process has not been notified yet.
      if (loop.lease !== undefined && loop.lease.fence < stored.fence) this.#needs.leaseManager.checkSoon();
      return { partition, checkpoint: stored };
    });
  }
}
