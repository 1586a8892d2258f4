import { performance } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import type { Clock } from "../clock/clock.ts";
import { outsideTransaction } from "../database/in-transaction.ts";
import { refuse } from "../errors/refusal.ts";
import type { Logger } from "../telemetry/logger.ts";
import { within } from "../retry/within.ts";
import { SagaAttempt } from "./saga-attempt.ts";
import type { AttemptEnd, EarlyResult } from "./saga-attempt.ts";
import type { AttemptPorts } from "./saga-retries.ts";
import type { SagaRow, SagaStore } from "./saga-store.ts";
import type { SagasOptions } from "./saga-options.ts";
import type { AnySaga } from "./saga.ts";

interface Needs {
  readonly service: string;
  /** Names this process in the rows that it holds. */
  readonly name: string;
  readonly store: SagaStore;
  readonly definitions: ReadonlyMap<string, AnySaga>;
  readonly clock: Clock;
  readonly log: Logger;
  readonly random: () => number;
  readonly options: SagasOptions;
  /** Called when an attempt at a saga has ended, and perhaps the saga. */
  readonly onEnd: (id: string) => void;
}

interface Held {
  readonly attempt: SagaAttempt;
  readonly ended: Promise<AttemptEnd>;
  /** On the monotonic clock: from then on the lease is to be renewed. */
  renewAtMs: number;
}

const pollMs = 20;

/** The sagas that this process runs: renews their leases, and takes over those without an owner. */
export class SagaOwner {
  readonly name: string;
  readonly #needs: Needs;
  readonly #ports: AttemptPorts;
  readonly #running = new Map<string, Held>();
  readonly #taken = new Set<string>();
  readonly #beginning = new Set<Promise<unknown>>();
  #timer: NodeJS.Timeout | undefined;
  #renewing: Promise<void> | undefined;
  #taking: Promise<void> | undefined;
  #takeAgain = false;
  #stopping: Promise<void> | undefined;

  constructor(needs: Needs) {
    this.#needs = needs;
    this.name = needs.name;
    const { service, store, log, options, clock, random } = needs;
    this.#ports = {
      service,
      store,
      log,
      options,
      random,
      now: () => clock.now(),
      monotonicMs: () => performance.now(),
      pause: async (ms) => sleep(ms, undefined, { ref: false }),
    };
  }

  get stopping(): boolean {
    return this.#stopping !== undefined;
  }

  async start(): Promise<void> {
    if (this.#timer !== undefined || this.stopping) return;
    const { leaseMs, recoverEveryMs } = this.#needs.options;
    let takeAtMs = 0;
    const tick = () => {
      const nowMs = performance.now();
      for (const { attempt } of this.#running.values()) attempt.watch();
      this.#renewing ??= this.#renew().finally(() => (this.#renewing = undefined));
      if (nowMs < takeAtMs) return;
      takeAtMs = nowMs + recoverEveryMs;
      void this.#takeOver();
    };
    outsideTransaction(() => {
      this.#timer = setInterval(tick, Math.min(recoverEveryMs, Math.max(10, leaseMs / 6)));
      tick();
    });
  }

  stop(): Promise<void> {
    return (this.#stopping ??= this.#stop());
  }

  async idle(): Promise<void> {
    const { store, definitions } = this.#needs;
    while (!this.stopping) {
      while (this.#running.size > 0) await Promise.all([...this.#running.values()].map(({ ended }) => ended));
      if (!(await store.anyAtWork([...definitions.keys()])) && this.#running.size === 0) return;
      await this.#takeOver();
      await sleep(pollMs); // what other processes run is only seen by polling
    }
  }

  /** Runs a saga whose row this process has claimed. */
  run(row: SagaRow): void {
    const { definitions, options, log, onEnd } = this.#needs;
    const definition = definitions.get(row.name);
    if (definition === undefined) throw new Error(`there is no saga ${row.name}`);
    this.#running.get(row.id)?.attempt.interrupt("lost"); // this process had it before, and its lease ended
    const attempt = new SagaAttempt(definition, row, this.#ports);
    const ended = attempt.run().then((end) => {
      if (this.#running.get(row.id)?.attempt === attempt) this.#running.delete(row.id);
      if (this.#taken.delete(row.id) && this.#takeAgain) void this.#takeOver();
      onEnd(row.id);
      if (end.status === "lost") log.warn({ saga: row.id, fence: String(row.fence) }, "a saga was taken over by another owner");
      return end;
    });
    this.#running.set(row.id, { attempt, ended, renewAtMs: performance.now() + options.leaseMs / 3 });
  }

  /** Runs work that may begin a saga; a stop waits for it. Refuses when this process is stopping. */
  async track<T>(begin: () => Promise<T>): Promise<T> {
    if (this.stopping)
      throw refuse({ reason: "OVERLOADED", code: "unavailable", message: "This process is stopping", retryAfterMs: 1_000 });
    const beginning = begin();
    this.#beginning.add(beginning);
    try {
      return await beginning;
    } finally {
      this.#beginning.delete(beginning);
    }
  }

  /** How the attempt of this process ends, or its early result, or "running" at `untilMs`; undefined when this process does not run it. */
  async ended(id: string, untilMs: number): Promise<AttemptEnd | EarlyResult | undefined> {
    const held = this.#running.get(id);
    if (held === undefined) return undefined;
    const late = (): EarlyResult => ({ status: "running" });
    return within(Math.max(0, untilMs - performance.now()), Promise.race([held.ended, held.attempt.early]), { late });
  }

  async #stop(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.allSettled([this.#taking, ...this.#beginning]);
    const all = Promise.all([...this.#running.values()].map(({ ended }) => ended));
    await within(this.#needs.options.stopMs, all);
    for (const { attempt } of this.#running.values()) attempt.interrupt("paused");
    await all;
    await this.#renewing;
  }

  async #renew(): Promise<void> {
    const { store, options, log } = this.#needs;
    const nowMs = performance.now();
    const due = [...this.#running.values()].filter((held) => held.renewAtMs <= nowMs);
    if (due.length === 0) return;
    try {
      const renewed = new Set(
        await store.renew(
          due.map(({ attempt }) => attempt.row),
          options.leaseMs,
        ),
      );
      for (const held of due) {
        if (renewed.has(held.attempt.row.id)) held.renewAtMs = nowMs + options.leaseMs / 3;
        else held.attempt.interrupt("lost");
      }
    } catch (error) {
      log.warn({ error, sagas: due.length }, "leases of sagas could not be renewed");
    }
  }

  /** One round at a time, and another one when the last may not have found all. */
  #takeOver(): Promise<void> {
    return (this.#taking ??= this.#takeSome().finally(() => (this.#taking = undefined)));
  }

  async #takeSome(): Promise<void> {
    const { store, definitions, options, log } = this.#needs;
    const room = options.recoverAtOnce - this.#taken.size;
    if (room <= 0 || this.stopping) return;
    try {
      const rows = await store.take([...definitions.keys()], this.name, options.leaseMs, room);
      this.#takeAgain = rows.length === room;
      for (const row of rows) {
        log.info({ saga: row.id, name: row.name, status: row.status, attempt: row.attempts }, "a saga is taken over");
        this.#taken.add(row.id);
        this.run(row);
      }
    } catch (error) {
      log.warn({ error }, "sagas without an owner could not be taken");
    }
  }
}
