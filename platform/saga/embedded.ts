import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import type { Clock } from "../clock/clock.ts";
import type { Database } from "../database/database.ts";
import { forbidInTransaction } from "../database/in-transaction.ts";
import type { MigrationSet } from "../database/migrate.ts";
import { sql } from "../database/sql.ts";
import { refuse } from "../errors/refusal.ts";
import { createChanges } from "../changes/changes.ts";
import type { Ids } from "../ids/ids.ts";
import type { Call } from "../call/call.ts";
import type { Logger } from "../telemetry/logger.ts";
import { createSagaOutcomes } from "./saga-outcomes.ts";
import { sagasDefaults } from "./saga-options.ts";
import type { SagasOptions } from "./saga-options.ts";
import { SagaOwner } from "./saga-owner.ts";
import { createSagaStore } from "./saga-store.ts";
import type { NewSaga, SagaRow, SagaStore, StoredCall } from "./saga-store.ts";
import type { AnySaga, SagaDefinition, SagaRequest, SagaResult, Sagas } from "./saga.ts";
import { isStoredForKey } from "./stored-refusal.ts";

/** What a database with sagas needs. */
export const sagaMigrations: MigrationSet = { scope: "sagas", folder: new URL("./migrations/", import.meta.url) };

export interface SagasInit {
  readonly service: string;
  readonly database: Database;
  /** All sagas that this service runs, including those that it only finishes. */
  readonly definitions: readonly AnySaga[];
  readonly clock: Clock;
  readonly ids: Ids;
  readonly log: Logger;
  /** 0 to 1, for the jitter. */
  readonly random?: () => number;
  readonly options?: Partial<SagasOptions>;
}

export interface SagasEngine extends Sagas {
  /** Starts to renew leases and to take over sagas without an owner. */
  start(): Promise<void>;
  /** Begins no more sagas, waits for those under way, and leaves those that do not end in time to other processes. */
  stop(): Promise<void>;
  /** Resolves when no process runs a saga and none could be taken over. It does not wait for sagas that pause. */
  idle(): Promise<void>;
}

/** Sagas stored in the service's own PostgreSQL: a successful one costs two statements, each its own transaction. */
export function createSagas(init: SagasInit): SagasEngine {
  const { service, database, clock, random = Math.random } = init;
  const log = init.log.child({ service });
  const options = { ...sagasDefaults, ...init.options };
  const store = createSagaStore(database);
  const definitions = new Map(init.definitions.map((definition) => [definition.name, definition]));
  const changes = createChanges({ versionsOf, log });
  const onEnd = (id: string) => changes.announce([id]);
  const owner = new SagaOwner({ service, store, definitions, name: init.ids.next("own"), clock, log, random, options, onEnd });
  const outcomes = createSagaOutcomes({ service, store, definitions, owner });

  async function versionsOf(ids: readonly string[]) {
    const rows = await store.findAll(ids);
    return rows.map((row) => ({ id: row.id, version: Number(outcomes.resultOf(row).status !== "running") }));
  }

  const check = (definition: AnySaga, call: Call) => {
    forbidInTransaction("a saga");
    if (outcomes.definitionOf(definition.name).output !== definition.output)
      throw new Error(`${service} has another saga named ${definition.name}`);
    call.check();
  };
  /** On the monotonic clock: when `run` returns "running". */
  const replyByMs = (call: Call) => call.deadlineMs - Math.min(options.replyMarginMs, call.remainingMs() / 10);

  return {
    async run<I extends DescMessage, O extends DescMessage, State>(definition: SagaDefinition<I, O, State>, request: SagaRequest<I>) {
      check(definition, request.call);
      const { id, subject, key, fingerprint, call } = request;
      const input = toBinary(definition.input, create(definition.input, request.input));
      const { name } = definition;
      const held = { owner: owner.name, leaseMs: options.leaseMs };
      const saga = { id, name, subject, key, fingerprint, input, call: storedCall(call), ...held, now: clock.now() };
      for (;;) {
        const other = await owner.track(() => begin(store, owner, saga));
        if (other !== undefined && other.id !== id && other.key !== key)
          return { status: "held", id: other.id, input: fromBinary(definition.input, other.input) };
        const result = await (other === undefined ? outcomes.of(id, replyByMs(call)) : outcomes.ofKey(other, replyByMs(call)));
        if (result !== undefined) return result as SagaResult<MessageShape<O>>; // of this definition
      }
    },
    async ofKey<I extends DescMessage, O extends DescMessage, State>(
      definition: SagaDefinition<I, O, State>,
      { key, fingerprint, call }: Pick<SagaRequest<I>, "fingerprint" | "call"> & { readonly key: string },
    ) {
      check(definition, call);
      const other = await conflictOf(store, { id: "", name: definition.name, subject: undefined, key, fingerprint });
      return other && ((await outcomes.ofKey(other, replyByMs(call))) as SagaResult<MessageShape<O>> | undefined);
    },
    async ended<I extends DescMessage, O extends DescMessage, State>(definition: SagaDefinition<I, O, State>, id: string, call: Call) {
      check(definition, call);
      return (await outcomes.of(id, replyByMs(call))) as SagaResult<MessageShape<O>>;
    },
    async join({ name, output }, { id, key, fingerprint, call }, result) {
      if (result.status === "refused" && !isStoredForKey(result.refusal)) return true;
      const reply = result.status === "done" ? toBinary(output, result.reply) : null;
      return store.join({ id, name, key, fingerprint, call: storedCall(call), joins: result.id, reply, now: clock.now() });
    },
    async find(id) {
      const row = await store.find(id);
      if (row === undefined) return undefined;
      return { ...outcomes.resultOf(row), name: row.name, user: row.call.user?.id };
    },
    watch: (id) => changes.watch(id),
    async holders(queries, { name, input }, subjects) {
      if (subjects.length === 0) return [];
      const rows = await queries.rows<{ id: string; input: Uint8Array }>(sql`
        select id, input from sagas
        where name = ${name} and subject = any (${[...subjects]}::text[]) and released_at is null and status <> 'REFUSED'`);
      return rows.map((row) => ({ id: row.id, input: fromBinary(input, row.input) }));
    },
    async release(queries, ids) {
      if (ids.length > 0)
        await queries.run(sql`update sagas set released_at = ${clock.now()} where id = any (${[...ids]}::text[]) and released_at is null`);
    },
    start: () => owner.start(),
    stop: () => owner.stop(),
    idle: () => owner.idle(),
  };
}

function storedCall({ user, origin, correlation, trace }: Call): StoredCall {
  return { correlation, trace, ...(user !== undefined && { user }), ...(origin !== undefined && { origin }) };
}

/** What prevents a saga from beginning: the row that has its key, or the saga that has its subject. Refuses a key that another request had. */
async function conflictOf(
  store: SagaStore,
  saga: Pick<NewSaga, "id" | "name" | "subject" | "key" | "fingerprint">,
): Promise<SagaRow | undefined> {
  const [first] = await store.conflictsWith(saga);
  if (first !== undefined && first.key === saga.key && first.fingerprint !== saga.fingerprint)
    throw refuse({ reason: "IDEMPOTENCY_KEY_REUSED", code: "invalid_argument", message: "The key was used with another request" });
  return first;
}

/** Begins a saga and runs it, or gives what prevents that. */
async function begin(store: SagaStore, owner: SagaOwner, saga: NewSaga): Promise<SagaRow | undefined> {
  for (;;) {
    if (await store.begin(saga)) {
      const { id, name, fingerprint, input, call, subject = null, key = null } = saga;
      const row = { id, name, subject, key, fingerprint, input, call, reply: null, refusal: null, joins: null };
      owner.run({ ...row, status: "RUNNING", fence: 1n, attempts: 1 });
      return undefined;
    }
    const other = await conflictOf(store, saga);
    if (other !== undefined) return other;
  }
}
