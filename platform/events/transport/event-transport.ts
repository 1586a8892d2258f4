import type { Subscription } from "../events.ts";
import type { DeadLetter } from "../subscriptions/dead-letter-store.ts";
import type { EventSource } from "./event-source.ts";
import type { LogProgress } from "./log-progress.ts";

/** How events reach the subscriptions of one service from their publishers. */
export interface EventTransport {
  /** How a broker partitions each log. Absent where subscribers read whole logs: then every `partition` below is undefined. */
  readonly partitioning?: Partitioning;
  source(subscription: Subscription, partition: number | undefined): EventSource;
  /** Calls `onNews` when there may be new events of its types. Returns a function that ends this. */
  listen(subscription: Subscription, partition: number | undefined, onNews: () => void): () => Promise<void> | void;
  /**
   * How far a publisher's log goes. With a signal it resolves once a broker has everything that the log has at the call, and rejects when the signal
   * is aborted before.
   */
  logProgress(publisher: string, untilRelayed?: AbortSignal): Promise<LogProgress>;
  /** Publishes dead letters, each at least once. Absent where nothing is published. */
  readonly announce?: (letters: readonly DeadLetter[]) => Promise<void>;
}

export interface Partitioning {
  /** The number of partitions of a publisher's log; resolves once the broker has been reached. */
  partitions(publisher: string): Promise<number>;
  /** The partition of a stream, of so many. */
  partitionOf(stream: string, partitions: number): number;
}
