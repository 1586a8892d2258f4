import { fork } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { backoffMs } from "@kontor/platform/retry/backoff.ts";
import type { PlannedProcess } from "./plan.ts";

export type ProcessState = "starting" | "ready" | "ended" | "stopped";

/** How a process of the cluster is doing. */
export interface ProcessStatus {
  readonly name: string;
  readonly state: ProcessState;
  readonly pid: number | undefined;
  /** How often it was started again. */
  readonly restarts: number;
}

export interface SupervisorOptions {
  readonly processes: readonly PlannedProcess[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** A line that a process has printed. */
  readonly line: (name: string, text: string) => void;
  /** Called with each change of a process. */
  readonly changed: (status: ProcessStatus, cause: string) => void;
}

const command = fileURLToPath(new URL("../main.ts", import.meta.url));
const backoff = { pauseMsMin: 200, pauseMsMax: 5_000 };
/** One that ran so long before it ended is started again without a pause. */
const soundMs = 10_000;
/** A little more than a process gives itself. */
const stopMs = 13_000;
/** Who calls others is stopped before them. */
const stopOrder: readonly (readonly string[])[] = [["gateway"], ["checkout"]];

/** The processes of a cluster: started together, started again when one ends, stopped in order. */
export class Supervisor {
  readonly #watched: readonly Watched[];

  constructor({ processes, ...options }: SupervisorOptions) {
    this.#watched = processes.map((process) => new Watched(process, options));
  }

  /** Resolves when all are ready. Rejects when one ends before it was ready once. */
  async start(): Promise<void> {
    await Promise.all(this.#watched.map((process) => process.start()));
  }

  async stop(): Promise<void> {
    for (const process of this.#watched) process.leave();
    for (const roles of stopOrder) await this.#stop(({ planned }) => roles.includes(planned.role));
    await this.#stop(() => true);
  }

  /** Ends all at once, when they cannot finish their work: the storage is lost. */
  kill(): void {
    for (const process of this.#watched) process.kill();
  }

  get status(): readonly ProcessStatus[] {
    return this.#watched.map(({ status }) => status);
  }

  async #stop(which: (process: Watched) => boolean): Promise<void> {
    await Promise.all(this.#watched.filter(which).map((process) => process.stop()));
  }
}

class Watched {
  readonly planned: PlannedProcess;
  readonly #options: Omit<SupervisorOptions, "processes">;
  readonly #ready = Promise.withResolvers<void>();
  #child: ChildProcess | undefined;
  #state: ProcessState = "starting";
  #restarts = 0;
  #leaving = false;
  /** The next pause is that after so many ends in a row; one that ran well counts as the first. */
  #endings = 1;
  #restart: NodeJS.Timeout | undefined;
  #ended = Promise.withResolvers<void>();

  constructor(planned: PlannedProcess, options: Omit<SupervisorOptions, "processes">) {
    this.planned = planned;
    this.#options = options;
    this.#ready.promise.catch(() => undefined); // start() reports it
  }

  get status(): ProcessStatus {
    return { name: this.planned.name, state: this.#state, pid: this.#child?.pid, restarts: this.#restarts };
  }

  start(): Promise<void> {
    this.#spawn();
    return this.#ready.promise;
  }

  /** It is not started again from now on. */
  leave(): void {
    this.#leaving = true;
    clearTimeout(this.#restart);
  }

  kill(): void {
    this.leave();
    this.#child?.kill("SIGKILL");
  }

  async stop(): Promise<void> {
    this.leave();
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const cut = setTimeout(() => child.kill("SIGKILL"), stopMs);
    child.kill("SIGTERM");
    await this.#ended.promise;
    clearTimeout(cut);
  }

  #spawn(): void {
    const { name, role, env } = this.planned;
    const startedMs = performance.now();
    this.#ended = Promise.withResolvers();
    const child = fork(command, ["start", role], { env: { ...this.#options.env, ...env }, stdio: ["ignore", "pipe", "pipe", "ipc"] });
    this.#child = child;
    this.#become("starting", `pid ${String(child.pid)}`);
    for (const stream of [child.stdout, child.stderr])
      if (stream !== null) createInterface({ input: stream }).on("line", (text) => this.#options.line(name, text));
    child.on("message", (message) => {
      if (typeof message !== "object" || !("ready" in message)) return;
      this.#become("ready", `pid ${String(child.pid)}, after ${((performance.now() - startedMs) / 1000).toFixed(1)} s`);
      this.#ready.resolve();
    });
    child.on("error", (error) => this.#options.line(name, String(error)));
    child.on("exit", (code, signal) => {
      const sound = performance.now() - startedMs > soundMs;
      this.#ended.resolve();
      if (this.#leaving) return this.#become("stopped", signal ?? `code ${String(code)}`);
      this.#become("ended", signal ?? `code ${String(code)}`);
      this.#ready.reject(new Error(`${name} ended before it was ready`));
      this.#endings = sound ? 1 : this.#endings + 1;
      this.#restart = setTimeout(
        () => {
          this.#restarts++;
          this.#spawn();
        },
        backoffMs(backoff, this.#endings),
      );
    });
  }

  #become(state: ProcessState, cause: string): void {
    this.#state = state;
    this.#options.changed(this.status, cause);
  }
}
