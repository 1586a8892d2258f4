import { performance } from "node:perf_hooks";
import { Call, rootCall } from "../call/call.ts";
import { createBatch } from "./batch.ts";
import type { Batch, BatchOptions, Outcome } from "./batch.ts";

/** A batch that is under way until the test ends it. */
export interface Execution {
  readonly requests: readonly string[];
  /** Each item's result is "did <request>", or what is given for it. */
  end(outcomes?: Readonly<Record<string, Outcome<string>>>): void;
  readonly fail: (error: unknown) => void;
  readonly give: (outcomes: readonly Outcome<string>[]) => void;
}

export interface TestBatch extends Batch<string, string> {
  /** All batches that have begun so far. */
  readonly executions: readonly Execution[];
  /** The requests of each. */
  begun(): (readonly string[])[];
  /** Asks for all at once, each on a call of its own. */
  runAll(...requests: readonly string[]): Promise<string>[];
}

/** A batch whose `execute` waits for the test. */
export function openTestBatch(options: Partial<BatchOptions<string, string>> = {}): TestBatch {
  const executions: Execution[] = [];
  const batch = createBatch<string, string>({
    name: "test",
    execute: (items) => {
      const { promise, resolve: give, reject: fail } = Promise.withResolvers<readonly Outcome<string>[]>();
      const requests = items.map(({ request }) => request);
      const end: Execution["end"] = (outcomes = {}) => give(requests.map((request) => outcomes[request] ?? `did ${request}`));
      executions.push({ requests, end, fail, give });
      return promise;
    },
    ...options,
  });
  return {
    ...batch,
    executions,
    begun: () => executions.map(({ requests }) => requests),
    runAll: (...requests) =>
      requests.map((request) => {
        const done = batch.run(request, anyCall());
        done.catch(() => undefined); // the test looks at it later
        return done;
      }),
  };
}

export const anyCall = (): Call => rootCall({ caller: "test", timeoutMs: 60_000 });
export const lateCall = (): Call => new Call({ caller: "test", deadlineMs: performance.now() - 1 });

/** Resolves when all that needs nothing from outside has happened: the batches that can begin have begun. */
export async function turn(): Promise<void> {
  // What is settled now may ask for the end of a turn only after this has.
  for (let nth = 0; nth < 2; nth++) await new Promise((resolve) => setImmediate(resolve));
}
