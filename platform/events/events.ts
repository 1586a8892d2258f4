import type { DescMessage, Message, MessageShape } from "@bufbuild/protobuf";
import type { Queries, Transaction } from "../database/database.ts";
import type { Sql } from "../database/sql.ts";
import type { Call } from "../call/call.ts";

/** An event to be recorded: a message of a type that has the option `(kontor.api.v1.event)`, made with `create`. */
export interface NewEvents {
  /** The id of the thing that it happened to. */
  readonly stream: string;
  /** The stream's version before: 0 when the stream is new. Another one there is the refusal VERSION_CONFLICT. */
  readonly expectedVersion: number;
  readonly events: readonly Message[];
  /** What led to these, when it is not the call given for all. */
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
   * The same as a fragment, `insert into events … returning stream, version`, to stand in a `with` of a statement that also writes
   * the state. Whoever uses it calls `wake` after the commit.
   */
  appendSql(call: Call, streams: readonly NewEvents[]): Sql;
  /** Tells readers that there may be something new. */
  wake(): void;
  /** A stream's events in order, from version 1. */
  history(queries: Queries, stream: string): Promise<RecordedEvent[]>;
}

type EventOf<Schemas extends readonly DescMessage[]> = {
  [K in keyof Schemas]: Schemas[K] extends DescMessage ? RecordedEvent<MessageShape<Schemas[K]>> : never;
}[number];

/** What a service does about another's events, or its own. */
export interface Subscription {
  /** Unique within the service, kept for ever: its position is stored under this name. */
  readonly name: string;
  /** The service whose log is read. */
  readonly publisher: string;
  readonly schemas: readonly DescMessage[];
  /** How long events gather before the next batch, in milliseconds, where somebody waits for the effect: 40 unless said otherwise. */
  readonly pauseMs?: number;
  /**
   * Applies a batch in log order (over a broker: in the order of each stream), in one transaction that also moves the position: each event has its effect once.
   * When it throws, the batch is rolled back and its events are applied one at a time; one that fails is parked with all
   * that follows in its stream. It gets only `tx`: what must happen elsewhere is a task.
   */
  readonly apply: (tx: Transaction, events: readonly RecordedEvent[]) => Promise<void>;
}

/** Declares a subscription, with the events typed by their schemas. */
export function subscription<const Schemas extends readonly DescMessage[]>(definition: {
  readonly name: string;
  readonly publisher: string;
  readonly schemas: Schemas;
  readonly pauseMs?: number;
  readonly apply: (tx: Transaction, events: readonly EventOf<Schemas>[]) => Promise<void>;
}): Subscription {
  return definition as unknown as Subscription;
}

/** Whether the event is of this schema; narrows its data. */
export function isEvent<S extends DescMessage>(event: RecordedEvent, schema: S): event is RecordedEvent<MessageShape<S>> {
  return event.data.$typeName === schema.typeName;
}
