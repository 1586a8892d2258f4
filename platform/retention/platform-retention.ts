import { sql } from "../database/sql.ts";
import { dayMs } from "./retention.ts";
import type { Retention } from "./retention.ts";

/** The platform's own tables in every service's database. */
export const platformRetention: readonly Retention[] = [
  {
    table: "events",
    rows: "events",
    stays: "growing",
    why: "the log is what everything else is rebuilt from, and the audit trail (decision 36)",
  },
  { table: "log_epoch", rows: "the log's epoch", stays: "bounded", why: "one row" },
  { table: "subscriptions", rows: "checkpoints", stays: "bounded", why: "one for each subscription, or for each of its partitions" },
  {
    table: "subscription_members",
    rows: "processes",
    stays: "bounded",
    why: "one for each process that reads from Kafka; the others delete one that has been gone for a minute",
  },
  {
    table: "parked_events",
    rows: "events that could not be applied",
    stays: "held",
    why: "without them an effect would be lost: `kontor parked` lists, replays and skips them",
  },
  {
    table: "idempotency_keys",
    rows: "responses under their keys",
    keptMs: 0,
    after: "it expires, 25 hours after it was stored",
    by: { column: "expires_at" },
    index: "idempotency_keys_expiry",
    why: "a repeat gets the first response for 24 hours",
  },
  { table: "documents", rows: "documents", stays: "bounded", why: "those of the service's collections, each of which has its expiry" },
  { table: "search_documents", rows: "the search index", stays: "bounded", why: "one for each thing that can be found" },
  {
    table: "search_words",
    rows: "words of the search index",
    stays: "bounded",
    why: "the vocabulary of what can be found; a rebuild begins it anew",
  },
  {
    table: "search_revisions",
    rows: "changes of the search index",
    stays: "bounded",
    why: "those up to 10,000 revisions old; each change deletes older ones",
  },
  {
    table: "sagas",
    rows: "sagas",
    stays: "bounded",
    why: "none, unless the service runs sagas and says here how long they are kept",
  },
  {
    table: "tasks",
    rows: "tasks that are done",
    keptMs: dayMs,
    after: "it was done",
    by: { column: "ended_at" },
    where: sql`state = 'done'`,
    index: "tasks_done",
    why: "a task is added once under its key, also for a day after it was done",
  },
  { table: "tasks", rows: "tasks that wait or run", stays: "bounded", why: "as much as there is to do" },
  {
    table: "tasks",
    rows: "tasks that have failed for good",
    stays: "held",
    why: "their work is not done: `kontor tasks` lists, replays and skips them",
  },
  { table: "migrations", rows: "applied migrations", stays: "bounded", why: "one for each file" },
];

/** What holds for a service's database: its own entries, and the platform's for the tables that it has none for. */
export function serviceRetention(own: readonly Retention[] = []): readonly Retention[] {
  return [...own, ...platformRetention.filter(({ table }) => !own.some((entry) => entry.table === table))];
}
