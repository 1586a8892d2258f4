import type { Queries } from "../../database/database.ts";
import { sql } from "../../database/sql.ts";
import type { SourceEvent } from "../transport/event-source.ts";
import type { ParkedRow } from "./parked-store.ts";
import { baseName } from "./partition-name.ts";

/** A parked event as it is announced: when it first fails, and again when its attempts are used up. */
export interface DeadLetter {
  readonly subscription: string;
  /** The name of the subscription's row, or its partition's, that has parked it. */
  readonly row: string;
  readonly event: SourceEvent;
  readonly cause: string;
  readonly attempts: number;
  readonly attemptsExhausted: boolean;
}

/** The dead letters that have not been announced yet, in order. */
export async function unannouncedDeadLetters(queries: Queries, limit: number): Promise<DeadLetter[]> {
  const rows = await queries.rows<ParkedRow & { row: string; cause: string; attemptsExhausted: boolean }>(sql`
    select subscription as row, epoch, xid, position::text as position, id, stream, version, type, data, actor, trace, correlation, causation, at,
      cause, attempts, next_attempt_at is null as "attemptsExhausted"
    from parked_events where announced < attempts and (announced = 0 or next_attempt_at is null)
    order by subscription, stream, epoch, xid, parked_events.position limit ${limit}`);
  return rows.map(({ row, cause, attempts, attemptsExhausted, epoch, xid, position, ...event }) => ({
    subscription: baseName(row),
    row,
    cause,
    attempts,
    attemptsExhausted,
    event: { ...event, position: { epoch, xid, position } },
  }));
}

/** Stores that these have been announced. */
export async function recordAnnounced(queries: Queries, letters: readonly DeadLetter[]): Promise<void> {
  await queries.run(sql`
    update parked_events p set announced = a.attempts
    from unnest(
      ${letters.map(({ row }) => row)}::text[], ${letters.map(({ event }) => event.id)}::text[], ${letters.map(({ attempts }) => attempts)}::int[]
    ) as a (subscription, id, attempts)
    where p.subscription = a.subscription and p.id = a.id`);
}
