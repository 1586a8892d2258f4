import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { toBinary, create } from "@bufbuild/protobuf";
import { StringValueSchema } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { refuse } from "../errors/refusal.ts";
import type { Logger } from "../telemetry/logger.ts";
import { SagaAttempt } from "./saga-attempt.ts";
import { attemptDefaults } from "./saga-retries.ts";
import type { AttemptEnd } from "./saga-attempt.ts";
import type { SagaRow, SagaStore } from "./saga-store.ts";
import type { AnySaga } from "./saga.ts";

/** What may happen to a call or a write. After "dies" and "late" it happens later, when another owner has gone on. */
const faults = ["none", "unknown before", "unknown after", "dies before", "dies after", "late", "refused", "a dead one wakes"] as const;
type Fault = (typeof faults)[number];

const quiet: Logger = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined, child: () => quiet };
const unavailable = () => refuse({ reason: "DEPENDENCY_UNAVAILABLE", code: "unavailable" });
const no = (reason: string) => refuse({ reason, code: "failed_precondition" });

/** The service of a step: stores what its key has led to, as every participant must. */
class Participant {
  done = false;
  marked = false;
  effects = 0;
  compensations = 0;

  do(): void {
    if (this.marked) throw no("TOO_LATE");
    if (this.done) return;
    this.done = true;
    this.effects++;
  }

  undo(): void {
    if (this.marked) return;
    this.marked = true;
    if (this.done) this.compensations++;
  }
}

/** Runs one saga among faults, owner after owner, until it has ended and all late calls have arrived. */
async function simulate(plan: { readonly faults: readonly Fault[]; readonly steps: number; readonly refusedAt: number }) {
  const draws = plan.faults.values();
  const participants = Array.from({ length: plan.steps }, () => new Participant());
  const sleepers: (() => void)[] = [];
  const late: (() => void)[] = [];
  let died = Promise.withResolvers<"died">();
  let elapsedMs = 0;
  let ends = 0;
  const asleep = () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    sleepers.push(resolve);
    died.resolve("died");
    return promise;
  };

  /** Does `work` as far as the next fault lets it; `whenLate` is what a packet that arrives late does. */
  const through = async <T>(
    work: () => T,
    options: { readonly whenLate?: () => void; readonly refusable?: () => boolean } = {},
  ): Promise<T> => {
    await Promise.resolve();
    const fault = draws.next().value ?? "none";
    if (fault === "unknown before") throw unavailable();
    if (fault === "dies before") await asleep();
    if (fault === "late" && options.whenLate !== undefined) {
      late.push(options.whenLate);
      throw unavailable();
    }
    if (fault === "refused" && options.refusable?.() === true) throw no("NOT_NOW");
    if (fault === "a dead one wakes") sleepers.shift()?.();
    const result = work();
    if (fault === "unknown after") throw unavailable();
    if (fault === "dies after") await asleep();
    return result;
  };

  const definition: AnySaga = {
    name: "simulated",
    input: StringValueSchema,
    output: StringValueSchema,
    begin: () => 0,
    reply: (state) => ({ value: String(state) }),
    steps: participants.map((participant, at) => ({
      name: `step${at}`,
      do: async (state) => {
        await through(
          () => {
            if (at === plan.refusedAt && !participant.done) throw no("NEVER");
            participant.do();
          },
          {
            refusable: () => !participant.done,
            whenLate: () => at !== plan.refusedAt && participant.do(),
          },
        );
        return (state as number) + 1;
      },
      undo: () => through(() => participant.undo(), { whenLate: () => participant.undo() }),
    })),
  };

  const bytes = toBinary(StringValueSchema, create(StringValueSchema));
  const call = { correlation: "cor", trace: { traceId: "", spanId: "" } };
  const base = {
    name: "simulated",
    subject: null,
    key: null,
    fingerprint: "",
    input: bytes,
    call,
    reply: null,
    refusal: null,
    joins: null,
  };
  let row: SagaRow = { id: "sag_1", status: "RUNNING", fence: 1n, attempts: 1, ...base };
  const changed = (fence: bigint, from: readonly SagaRow["status"][], change: Partial<SagaRow>) =>
    through(() => {
      if (row.fence !== fence || !from.includes(row.status)) return false;
      if (change.status === "DONE" || change.status === "REFUSED") ends++;
      row = { ...row, ...change };
      return true;
    });
  const unused = () => assert.fail("not for an attempt");
  const store: SagaStore = {
    undo: ({ fence }, refusal) => changed(fence, ["RUNNING"], { status: "UNDOING", refusal }),
    end: ({ fence }, end) =>
      "reply" in end
        ? changed(fence, ["RUNNING"], { status: "DONE", reply: end.reply })
        : changed(fence, ["RUNNING", "UNDOING"], { status: "REFUSED", refusal: end.refusal }),
    pause: ({ fence }) => changed(fence, ["RUNNING", "UNDOING"], {}),
    begin: unused,
    conflictsWith: unused,
    join: unused,
    leave: unused,
    find: unused,
    findAll: unused,
    renew: unused,
    take: unused,
    anyAtWork: unused,
  };
  const pause = async (ms: number) => void (elapsedMs += ms);
  const ports = {
    service: "test",
    store,
    log: quiet,
    options: attemptDefaults,
    now: () => new Date(0),
    monotonicMs: () => elapsedMs,
    pause,
    random: () => 0.5,
  };

  const owners: Promise<AttemptEnd>[] = [];
  for (;;) {
    const owner = new SagaAttempt(definition, row, ports).run();
    owners.push(owner);
    await Promise.race([owner, died.promise]);
    if (row.status === "DONE" || row.status === "REFUSED") break;
    died = Promise.withResolvers();
    row = { ...row, fence: row.fence + 1n, attempts: row.attempts + 1 };
  }
  let over = false;
  const outcomes = Promise.all(owners).finally(() => (over = true));
  while (!over) {
    for (const wake of sleepers.splice(0)) wake();
    await new Promise(setImmediate);
  }
  for (const arrives of late)
    try {
      arrives();
    } catch (error) {
      assert.equal((error as { reason?: string }).reason, "TOO_LATE");
    }
  return { row, participants, ends, outcomes: await outcomes };
}

function check({ row, participants, ends, outcomes }: Awaited<ReturnType<typeof simulate>>): void {
  assert.equal(ends, 1, "the saga ends once");
  for (const { effects, compensations } of participants) assert.ok(effects <= 1 && compensations <= 1, "each effect happens once");
  if (row.status === "DONE")
    assert.ok(
      participants.every(({ done, marked }) => done && !marked),
      "done: all steps done, none undone",
    );
  else
    assert.ok(
      participants.every(({ done, marked }) => !done || marked),
      "refused: whatever was done is undone",
    );
  for (const outcome of outcomes)
    if (outcome.status === "done" || outcome.status === "refused")
      assert.equal(outcome.status.toUpperCase(), row.status, "every caller got this outcome");
}

const scenario = fc.record({
  faults: fc.array(fc.constantFrom(...faults), { maxLength: 30 }),
  steps: fc.integer({ min: 1, max: 4 }),
  refusedAt: fc.integer({ min: -3, max: 3 }),
});

describe("a saga's attempts with crashes", () => {
  it("CON-01: whatever fails, crashes or comes late, a saga is done as a whole or undone as a whole", async () => {
    const numRuns = Number(process.env["KONTOR_SIMULATED_SAGAS"] ?? 5_000);
    await fc.assert(
      fc.asyncProperty(scenario, async (plan) => check(await simulate(plan))),
      { numRuns },
    );
  });

  it("CON-01: without faults a saga ends in one attempt", async () => {
    const good = await simulate({ faults: [], steps: 4, refusedAt: -1 });
    assert.deepEqual([good.row.status, good.row.fence, good.outcomes.length], ["DONE", 1n, 1]);
    const refused = await simulate({ faults: [], steps: 4, refusedAt: 2 });
    assert.deepEqual(
      refused.participants.map(({ compensations }) => compensations),
      [1, 1, 0, 0],
    );
    assert.deepEqual(
      refused.participants.map(({ marked }) => marked),
      [true, true, false, false],
    );
  });
});
