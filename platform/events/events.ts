import type { DescMessage, Message, MessageShape } from "@bufbuild/protobuf";
import type { Queries, Transaction } from "../database/database.ts";
import type { Sql } from "../database/sql.ts";
import type { Writes } from "../database/writes.ts";
import type { Call } from "../call/call.ts";

/** An event to be recorded: a message of a type that has the option `(kontor.api.v1.event)`, made with `create`. */
export interface NewEvents {
  /** The id of the thing that it happened to. */
  readonly stream: string;
  /** The stream's version before: 0 when the stream is new. Another one there is the refusal VERSION_CONFLICT. */
  readonly expectedVersion: number;
  readonly events: readonly Message[];
  /** The call that caused these events, when it is not the one passed for all. */
  readonly call?: Call;
}

/** An event as it was recorded. `data` is the message of the schema named by `type`. */
export interface RecordedEvent<Data extends Message = Message> {
  readonly id: string;
  readonly type: string;
  readonly stream: string;
  readonly version: number;
  readonly at: Date;
  readonly actor: string;
  readonly trace: string;
  readonly correlation: string;
  readonly causation: string;
  readonly data: Data;
}

/** A service's own log. */
export interface EventLog {
  /**
   * Records events inside the caller's transaction, in one statement. The stream's row must have been locked by an
   * earlier statement of it (or be new). Readers are woken after the commit.
   */
  append(tx: Transaction, call: Call, streams: readonly NewEvents[]): Promise<void>;
  /**
   * The same as an SQL fragment, `insert into events … returning stream, version`, for the `with` of a statement that also writes
   * the state. With `written`, a query for ids, only the events of these streams are recorded. The caller must call `wake` with them after the commit.
   */
  appendSql(call: Call, streams: readonly NewEvents[], written?: Sql): Sql;
  /** Signals readers that these events may have been recorded: those who read other types are left alone. Without `streams` it signals all. */
  wake(streams?: readonly NewEvents[]): void;
  /** A stream's events in order, from version 1. */
  history(queries: Queries, stream: string): Promise<RecordedEvent[]>;
}

type EventOf<Schemas extends readonly DescMessage[]> = {
  [K in keyof Schemas]: Schemas[K] extends DescMessage ? RecordedEvent<MessageShape<Schemas[K]>> : never;
}[number];

/** What a service does when events of a publisher arrive: another service, or itself. */
export interface Subscription {
  /** Unique within the service, and permanent: the checkpoint is stored under this name. */
  readonly name: string;
  /** The service whose log is read. */
  readonly publisher: string;
  readonly schemas: readonly DescMessage[];
  /** The least time between two batches, in milliseconds: 40 by default. A higher value makes larger batches and later effects. */
  readonly pauseMs?: number;
  /**
   * Applies a batch in log order (over a broker: in the order of each stream), in one transaction that also stores the checkpoint: each event has its effect once.
   * When it throws, the batch is rolled back and its events are applied one at a time; one that fails is parked with all
   * that follows in its stream. It gets only `tx`: what must happen elsewhere is a task. What it writes last it may return: that goes out together with
   * the checkpoint and the commit, as one statement, and without a transaction around it where nothing was run in `tx`.
   */
  readonly apply: (tx: Transaction, events: readonly RecordedEvent[]) => Promise<Writes | void>;
}

/** Declares a subscription, with the events typed by their schemas. */
export function subscription<const Schemas extends readonly DescMessage[]>(definition: {
  readonly name: string;
  readonly publisher: string;
  readonly schemas: Schemas;
  readonly pauseMs?: number;
  readonly apply: (tx: Transaction, events: readonly EventOf<Schemas>[]) => Promise<Writes | void>;
}): Subscription {
  return definition as unknown as Subscription;
}

/** Whether the event is of this schema; narrows its data. */
export function isEvent<S extends DescMessage>(event: RecordedEvent, schema: S): event is RecordedEvent<MessageShape<S>> {
  return event.data.$typeName === schema.typeName;
}
