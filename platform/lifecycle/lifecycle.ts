import type { Logger } from "../telemetry/logger.ts";
import { within } from "../retry/within.ts";

/** Something that is started and stopped. All methods are optional; `stop` is called only after a start, and may be called twice. */
export interface Component {
  readonly name: string;
  readonly start?: () => Promise<void> | void;
  readonly stop?: () => Promise<void> | void;
  /** Whether it can do its work now. An error, or no result within a second, means no. */
  readonly ready?: () => Promise<boolean> | boolean;
}

/** For `/readyz`: whether all components are ready, and which are not. */
export interface Readiness {
  readonly ready: boolean;
  readonly notReady: readonly string[];
}

export interface Lifecycle {
  /** Adds a component that starts after those already there. Throws once starting has begun. */
  add(component: Component): void;
  /** Starts the components in order. When one fails, those already started are stopped in reverse and its error is thrown. */
  start(): Promise<void>;
  /**
   * Stops the components in reverse order; a second call returns the same promise. While starting, the component under way is awaited and the
   * rest not started. All are stopped even if one fails; then it throws.
   */
  stop(): Promise<void>;
  /** Not ready before `start` has ended and from the moment that `stop` is called. */
  ready(): Promise<Readiness>;
  /** Makes the lifecycle not ready, without stopping anything yet. */
  drain(): void;
  /** Reports the loss of something that no component can work without, such as the storage. Not ready from now on. */
  fail(error: Error): void;
  /** Resolves with the error of the first `fail`. */
  readonly failed: Promise<Error>;
}

const readyTimeoutMs = 1_000;

/** The lifecycle of a process: components that start in order and stop in reverse. */
export function createLifecycle({ log, components = [] }: { readonly log: Logger; readonly components?: readonly Component[] }): Lifecycle {
  const all = [...components];
  const started: Component[] = [];
  let starting: Promise<void> | undefined;
  let stopping: Promise<void> | undefined;
  let serving = false;
  const failure = Promise.withResolvers<Error>();

  async function startAll(): Promise<void> {
    for (const component of all) {
      // Checked before each component, because a stop may come while one is starting.
      if (stopping !== undefined) throw new Error(`stopped before ${component.name} was started`);
      const before = performance.now();
      try {
        await component.start?.();
      } catch (error) {
        log.error({ component: component.name, error }, "could not be started");
        throw error;
      }
      started.push(component);
      log.debug({ component: component.name, ms: Math.round(performance.now() - before) }, "started");
    }
    serving = stopping === undefined;
  }

  async function stopStarted(): Promise<void> {
    const failures: unknown[] = [];
    for (let component = started.pop(); component !== undefined; component = started.pop()) {
      try {
        await component.stop?.();
        log.debug({ component: component.name }, "stopped");
      } catch (error) {
        log.error({ component: component.name, error }, "could not be stopped");
        failures.push(error);
      }
    }
    if (failures.length > 0) throw new AggregateError(failures, "not everything could be stopped");
  }

  async function stopAll(): Promise<void> {
    serving = false;
    // The caller of `start` gets its error; what it started has been stopped by then.
    await starting?.catch(() => undefined);
    await stopStarted();
  }

  return {
    add(component) {
      if (starting !== undefined) throw new Error(`${component.name} was added after the start`);
      all.push(component);
    },
    start: () =>
      (starting ??= startAll().catch(async (error: unknown) => {
        // What fails to stop has been logged; the reason why the start failed must not be hidden by it.
        await stopStarted().catch(() => undefined);
        throw error;
      })),
    stop: () => (stopping ??= stopAll()),
    drain() {
      serving = false;
    },
    fail(error) {
      serving = false;
      failure.resolve(error);
    },
    failed: failure.promise,
    async ready() {
      if (!serving) return { ready: false, notReady: ["process"] };
      const ready = await Promise.all(started.map((component) => isReady(component)));
      const notReady = started.filter((_, at) => ready[at] !== true).map((component) => component.name);
      return { ready: serving && notReady.length === 0, notReady };
    },
  };

  async function isReady(component: Component): Promise<boolean> {
    try {
      const result = component.ready?.() ?? true;
      return typeof result === "boolean" ? result : (await within(readyTimeoutMs, result)) === true;
    } catch (error) {
      log.warn({ component: component.name, error }, "is not ready");
      return false;
    }
  }
}
