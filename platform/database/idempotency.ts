import { create, toBinary } from "@bufbuild/protobuf";
import type { DescMessage, Message, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import type { Clock } from "../clock/clock.ts";
import { refusalIn } from "../errors/refusal.ts";
import type { Call } from "../call/call.ts";
import { fingerprintOf, idempotencyKeyOf } from "../call/idempotency-key.ts";
import type { KeyOptions } from "../call/idempotency-key.ts";
import type { Database, Queries, Transaction } from "./database.ts";
import { sqlState } from "./database.ts";
import { asGiven, isDecided, storable } from "./given-answer.ts";
import type { GivenAnswer } from "./given-answer.ts";
import { inProgress, takeTurn } from "./key-turns.ts";
import { sql } from "./sql.ts";
import type { Sql } from "./sql.ts";

/** Longer than the 24 hours promised. */
const keptMs = 25 * 3_600_000;
/** Less than a transaction may take, so that the waiting ends before the transaction does. */
const waitMsMax = 4_000;

export interface IdempotentOptions<O extends DescMessage> extends KeyOptions {
  readonly database: Database;
  readonly clock: Clock;
  readonly request: Message;
  readonly output: O;
  readonly work: (tx: Transaction) => Promise<MessageInitShape<O>>;
}

/** A key with what was asked under it. */
export interface Keyed {
  readonly key: string;
  readonly fingerprint: Buffer;
}

/**
 * Runs `work` in a transaction, once per idempotency key: a repeat gets the first one's answer, or its refusal when that was a decided one
 * (failed_precondition, aborted, already_exists), for 24 hours or longer. A repeat at the same time waits for the first. Without a key it
 * is a transaction and nothing else.
 *
 * Refuses with IDEMPOTENCY_KEY_REUSED when the key came with another request, with IDEMPOTENCY_KEY_IN_PROGRESS when the first takes longer
 * than the call may. Other refusals and faults are not kept: a repeat tries again. Costs one round trip more than the transaction, for the
 * claim; the answer goes out together with the commit.
 */
export async function idempotent<O extends DescMessage>(options: IdempotentOptions<O>): Promise<MessageShape<O>> {
  const { database, clock, call, output, work } = options;
  const key = idempotencyKeyOf(options);
  if (key === undefined) return create(output, await database.transaction(work));
  const keyed = { key, fingerprint: fingerprintOf(options.method.input, options.request) };
  for (;;) {
    const endTurn = await takeTurn(database, key, call);
    if (endTurn !== undefined)
      try {
        return await first(options, keyed);
      } finally {
        endTurn();
      }
    const given = await givenAnswer(database, keyed, clock.now());
    if (given !== undefined) return asGiven(output, keyed, given);
  }
}

/**
 * The answer kept under a key, or undefined. Refuses as it was refused then, and with IDEMPOTENCY_KEY_REUSED when the request was another.
 */
export async function answerGiven<O extends DescMessage>(
  queries: Queries,
  options: { readonly keyed: Keyed; readonly output: O; readonly now: Date },
): Promise<MessageShape<O> | undefined> {
  const given = await givenAnswer(queries, options.keyed, options.now);
  return given === undefined ? undefined : asGiven(options.output, options.keyed, given);
}

/**
 * Keeps an answer that is known beforehand, as a fragment to stand in a `with` of the statement that has the effect: it gives a row when
 * the key was free, and the effect must depend on that row. When there is none, `answerGiven` has the answer, in a statement of its own.
 */
export function keepAnswerSql<O extends DescMessage>(options: {
  readonly keyed: Keyed;
  readonly output: O;
  readonly answer: MessageShape<O>;
  readonly now: Date;
}): Sql {
  const { keyed, output, answer, now } = options;
  return sql`insert into idempotency_keys as kept (key, fingerprint, response, created_at, expires_at)
    values (${keyed.key}, ${keyed.fingerprint}, ${toBinary(output, answer)}, ${now}, ${expiry(now)})
    on conflict (key) do update set fingerprint = excluded.fingerprint, response = excluded.response, refusal = null,
      created_at = excluded.created_at, expires_at = excluded.expires_at where kept.expires_at <= excluded.created_at
    returning key`;
}

/** Deletes the keys whose time is over; gives their number. */
export async function sweepIdempotencyKeys(database: Database, now: Date): Promise<number> {
  const batch = 1_000;
  let total = 0;
  for (let deleted = batch; deleted === batch; total += deleted)
    deleted = await database.run(
      sql`delete from idempotency_keys where key in (
        select key from idempotency_keys where expires_at <= ${now} limit ${batch} for update skip locked)`,
    );
  return total;
}

async function first<O extends DescMessage>(options: IdempotentOptions<O>, keyed: Keyed): Promise<MessageShape<O>> {
  const { database, clock, call, output, work } = options;
  // Each is set in the transaction and read after it has ended.
  const outcome: { answer?: MessageShape<O>; unkept?: unknown; worked?: boolean } = {};
  try {
    await database.transaction(async (tx) => {
      const given = await claim(tx, keyed, call, clock.now());
      if (given !== undefined) throw new Given(given);
      outcome.worked = true;
      const answer = create(output, await work(tx));
      const kept = tx.run(sql`update idempotency_keys set response = ${toBinary(output, answer)} where key = ${keyed.key}`);
      // Not awaited: the commit follows on the wire, and fails when this has failed.
      kept.catch((error: unknown) => (outcome.unkept = error));
      outcome.answer = answer;
    });
    return outcome.answer!;
  } catch (error) {
    if (error instanceof Given) return asGiven(output, keyed, error.answer);
    if (outcome.worked !== true || !isDecided(error)) throw outcome.unkept ?? error;
    const given = await keepRefusal(options, keyed, error);
    if (given === undefined) throw error;
    return asGiven(output, keyed, given);
  }
}

/** Leaves the transaction, undone, with the answer that was there already. */
class Given extends Error {
  readonly answer: GivenAnswer;

  constructor(answer: GivenAnswer) {
    super("The key has its answer");
    this.answer = answer;
  }
}

/** Keeps the refusal of work that has been rolled back, unless somebody has been answered meanwhile: then it gives that answer. */
async function keepRefusal<O extends DescMessage>(
  options: IdempotentOptions<O>,
  keyed: Keyed,
  error: unknown,
): Promise<GivenAnswer | undefined> {
  return options.database.transaction(async (tx) => {
    const given = await claim(tx, keyed, options.call, options.clock.now());
    if (given === undefined)
      await tx.run(sql`update idempotency_keys set refusal = ${storable(refusalIn(error)!)} where key = ${keyed.key}`);
    return given;
  });
}

/**
 * Claims the key until the transaction ends, or gives the answer that it has. Waits for another's claim. The update that changes nothing is
 * what makes one statement give the row that it waited for; whoever finds an answer rolls back.
 */
async function claim(tx: Transaction, { key, fingerprint }: Keyed, call: Call, now: Date): Promise<GivenAnswer | undefined> {
  const waitMs = Math.max(1, Math.min(waitMsMax, Math.floor(call.remainingMs())));
  try {
    const row = await tx.one<GivenAnswer>(sql`
      insert into idempotency_keys as kept (key, fingerprint, created_at, expires_at)
      select ${key}, ${fingerprint}::bytea, ${now}::timestamptz, ${expiry(now)}::timestamptz
      from (select set_config('lock_timeout', ${waitMs}::text, true) as setting offset 0) as limited where limited.setting <> ''
      on conflict (key) do update set
        fingerprint = case when kept.expires_at <= excluded.created_at then excluded.fingerprint else kept.fingerprint end,
        response = case when kept.expires_at > excluded.created_at then kept.response end,
        refusal = case when kept.expires_at > excluded.created_at then kept.refusal end,
        created_at = case when kept.expires_at <= excluded.created_at then excluded.created_at else kept.created_at end,
        expires_at = case when kept.expires_at <= excluded.created_at then excluded.expires_at else kept.expires_at end
      returning fingerprint, response, refusal`);
    return row.response === null && row.refusal === null ? undefined : row;
  } catch (error) {
    if (sqlState(error) === "55P03") throw inProgress(error);
    throw error;
  }
}

async function givenAnswer(queries: Queries, { key }: Keyed, now: Date): Promise<GivenAnswer | undefined> {
  return queries.maybe<GivenAnswer>(
    sql`select fingerprint, response, refusal from idempotency_keys where key = ${key} and expires_at > ${now}`,
  );
}

function expiry(now: Date): Date {
  return new Date(now.getTime() + keptMs);
}
