import { create, toBinary } from "@bufbuild/protobuf";
import type { DescMessage, DescMethodUnary, Message, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import type { Clock } from "../clock/clock.ts";
import { refusalIn } from "../errors/refusal.ts";
import type { Call } from "../call/call.ts";
import { fingerprintOf, idempotencyKeyOf } from "../call/idempotency-key.ts";
import type { KeyOptions } from "../call/idempotency-key.ts";
import type { Database, Transaction } from "./database.ts";
import { sqlState } from "./database.ts";
import { inProgress, takeTurn } from "./key-turns.ts";
import { sql } from "./sql.ts";
import { isDecided, repeatReply, storable } from "./stored-reply.ts";
import type { StoredReply } from "./stored-reply.ts";

/** Longer than the 24 hours that are promised. */
const storedMs = 25 * 3_600_000;
/** Less than a transaction may take, so that the waiting ends before the transaction does. */
const waitMsMax = 4_000;

/** Where a service's keys are stored, and by which clock they expire. */
export interface KeyStore {
  readonly database: Database;
  readonly clock: Clock;
}

export interface KeyedRequest<O extends DescMessage> extends KeyOptions, KeyStore {
  readonly method: DescMethodUnary<DescMessage, O>;
  readonly request: Message;
}

export interface IdempotentOptions<O extends DescMessage> extends KeyedRequest<O> {
  readonly work: (tx: Transaction) => Promise<MessageInitShape<O>>;
  /**
   * What follows the commit, once, with what `work` replied; what it gives is the reply from then on. When it fails, or the process ends before,
   * a repeat gets what `work` replied, and so does one that comes to another process meanwhile.
   */
  readonly followUp?: ((reply: MessageShape<O>) => Promise<MessageInitShape<O>>) | undefined;
}

/** A key with the request that came with it. */
interface Keyed {
  readonly key: string;
  readonly fingerprint: Buffer;
}

/**
 * Runs `work` in a transaction, once per idempotency key: a repeat gets the first reply, or the first refusal when that was a decided one
 * (failed_precondition, aborted, already_exists), for 24 hours or longer. A repeat at the same time waits for the first. Without a key it
 * is a transaction and nothing else.
 *
 * Refuses with IDEMPOTENCY_KEY_REUSED when the key came with another request, with IDEMPOTENCY_KEY_IN_PROGRESS when the first takes longer
 * than the call may. Other refusals and faults are not stored: a repeat tries again. Costs one round trip more than the transaction, for the
 * claim; the reply goes out together with the commit.
 */
export async function idempotent<O extends DescMessage>(options: IdempotentOptions<O>): Promise<MessageShape<O>> {
  const { database, call, method, work, followUp } = options;
  const keyed = keyedOf(options);
  if (keyed === undefined) {
    const reply = create(method.output, await database.transaction(work));
    return followUp === undefined ? reply : create(method.output, await followUp(reply));
  }
  for (;;) {
    const endTurn = await takeTurn(database, keyed.key, call);
    if (endTurn !== undefined)
      try {
        return await first(options, keyed);
      } finally {
        endTurn();
      }
    const reply = await replyStored(options, keyed);
    if (reply !== undefined) return reply;
  }
}

function keyedOf(options: KeyedRequest<DescMessage>): Keyed | undefined {
  const key = idempotencyKeyOf(options);
  return key === undefined ? undefined : { key, fingerprint: fingerprintOf(options.method.input, options.request) };
}

async function first<O extends DescMessage>(options: IdempotentOptions<O>, keyed: Keyed): Promise<MessageShape<O>> {
  const { database, clock, call, work, followUp } = options;
  const { output } = options.method;
  // Each is set in the transaction and read after it has ended.
  const outcome: { reply?: MessageShape<O>; storeError?: unknown; worked?: boolean } = {};
  try {
    await database.transaction(async (tx) => {
      const stored = await claim(tx, keyed, call, clock.now());
      if (stored !== undefined) throw new AlreadyStored(stored);
      outcome.worked = true;
      const reply = create(output, await work(tx));
      const storing = tx.run(sql`update idempotency_keys set response = ${toBinary(output, reply)} where key = ${keyed.key}`);
      // Not awaited: the commit follows on the wire, and fails when this has failed.
      storing.catch((error: unknown) => (outcome.storeError = error));
      outcome.reply = reply;
    });
  } catch (error) {
    if (error instanceof AlreadyStored) return repeatReply(output, keyed, error.stored);
    if (outcome.worked !== true || !isDecided(error)) throw outcome.storeError ?? error;
    const stored = await storeRefusal(options, keyed, error);
    if (stored === undefined) throw error;
    return repeatReply(output, keyed, stored);
  }
  if (followUp === undefined) return outcome.reply!;
  const reply = create(output, await followUp(outcome.reply!));
  await database.run(sql`update idempotency_keys set response = ${toBinary(output, reply)} where key = ${keyed.key}`);
  return reply;
}

/** Rolls the transaction back, with the reply that was stored before. */
class AlreadyStored extends Error {
  readonly stored: StoredReply;

  constructor(stored: StoredReply) {
    super("The key has its reply");
    this.stored = stored;
  }
}

/** Stores the refusal of work that has been rolled back, unless another request has stored a reply meanwhile: then it returns that one. */
async function storeRefusal<O extends DescMessage>(
  { database, call, clock }: IdempotentOptions<O>,
  keyed: Keyed,
  error: unknown,
): Promise<StoredReply | undefined> {
  return database.transaction(async (tx) => {
    const stored = await claim(tx, keyed, call, clock.now());
    if (stored === undefined)
      await tx.run(sql`update idempotency_keys set refusal = ${storable(refusalIn(error)!)} where key = ${keyed.key}`);
    return stored;
  });
}

/**
 * Claims the key until the transaction ends, or returns the reply that it has. Waits for another's claim. The update that changes nothing is
 * what makes one statement return the row that it waited for; a caller that finds a reply rolls back.
 */
async function claim(tx: Transaction, { key, fingerprint }: Keyed, call: Call, now: Date): Promise<StoredReply | undefined> {
  const waitMs = Math.max(1, Math.min(waitMsMax, Math.floor(call.remainingMs())));
  try {
    const row = await tx.one<StoredReply>(sql`
      insert into idempotency_keys as stored (key, fingerprint, created_at, expires_at)
      select ${key}, ${fingerprint}::bytea, ${now}::timestamptz, ${new Date(now.getTime() + storedMs)}::timestamptz
      from (select set_config('lock_timeout', ${waitMs}::text, true) as setting offset 0) as limited where limited.setting <> ''
      on conflict (key) do update set
        fingerprint = case when stored.expires_at <= excluded.created_at then excluded.fingerprint else stored.fingerprint end,
        response = case when stored.expires_at > excluded.created_at then stored.response end,
        refusal = case when stored.expires_at > excluded.created_at then stored.refusal end,
        created_at = case when stored.expires_at <= excluded.created_at then excluded.created_at else stored.created_at end,
        expires_at = case when stored.expires_at <= excluded.created_at then excluded.expires_at else stored.expires_at end
      returning fingerprint, response, refusal`);
    return row.response === null && row.refusal === null ? undefined : row;
  } catch (error) {
    if (sqlState(error) === "55P03") throw inProgress(error);
    throw error;
  }
}

async function replyStored<O extends DescMessage>(
  { database, clock, method }: KeyedRequest<O>,
  keyed: Keyed,
): Promise<MessageShape<O> | undefined> {
  const stored = await database.maybe<StoredReply>(
    sql`select fingerprint, response, refusal from idempotency_keys where key = ${keyed.key} and expires_at > ${clock.now()}`,
  );
  return stored === undefined ? undefined : repeatReply(method.output, keyed, stored);
}
