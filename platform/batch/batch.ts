import { rootCall } from "../call/call.ts";
import type { Call } from "../call/call.ts";
import { atTurnEnd } from "../clock/turn.ts";
import { sqlState } from "../database/database.ts";
import { forbidInTransaction, outsideTransaction } from "../database/in-transaction.ts";
import { refusalIn, refuse } from "../errors/refusal.ts";

/** One of the requests that are executed together. */
export interface BatchItem<Request> {
  readonly request: Request;
  readonly call: Call;
}

/** The outcome of an item that is to go into the next batch, because somebody else has changed what it was decided on. */
export const again = Symbol("again");

/** What became of an item: its result, the error that is its caller's alone, or `again`. */
export type Outcome<Result> = Result | Error | typeof again;

export interface BatchOptions<Request, Result> {
  /** In messages: "orders.create". */
  readonly name: string;
  /**
   * Executes all items and gives their outcomes, in the same order. Its effect is one transaction. It may be repeated for some of the items when
   * it throws, so an item's effect must come once however often it is executed. No result is an Error.
   */
  readonly execute: (items: readonly BatchItem<Request>[]) => Promise<readonly Outcome<Result>[]>;
  /** What a request is about: two about the same are never executed at the same time. By default any may be. */
  readonly keyOf?: (request: Request) => string;
  /** How much of a batch's `sizeMax` a request takes: 1 by default. */
  readonly sizeOf?: (request: Request) => number;
  /** Requests a batch: 500 by default. More would make the transaction, and so the wait of those behind it, long. */
  readonly itemsMax?: number;
  /** 5,000 by default. A request that is larger goes alone. */
  readonly sizeMax?: number;
  /** How many may wait; the next one is refused. 10,000 by default. */
  readonly waitingMax?: number;
}

export interface Batch<Request, Result> {
  /**
   * Executes a request together with all that wait. Rejects with the item's own error; with what `execute` throws, where that fails for this
   * item alone or its outcome is unknown; with DEADLINE_EXCEEDED, having done nothing, when the call is over before its turn comes; with OVERLOADED
   * when too many wait. Without a call there is no deadline.
   */
  run(request: Request, call?: Call): Promise<Result>;
  /** Resolves when no request is waiting or under way. */
  idle(): Promise<void>;
}

interface Waiting<Request, Result> extends BatchItem<Request> {
  readonly key: string | undefined;
  readonly size: number;
  readonly resolve: (result: Result) => void;
  readonly reject: (error: unknown) => void;
}

/** When a batch has been under way for so long, as it waits for a lock, those behind it go into another one. */
const stalledMs = 100;
const underWayMax = 4;

/**
 * Executes requests in batches: while one is under way, all that come wait and make up the next one. Nobody waits for others to come. A request
 * that comes alone is executed at once; the more come, the more share a statement, a commit and a wake-up.
 */
export function createBatch<Request, Result>(options: BatchOptions<Request, Result>): Batch<Request, Result> {
  const { name, execute, keyOf, sizeOf = () => 1, itemsMax = 500, sizeMax = 5_000, waitingMax = 10_000 } = options;
  let waiting: Waiting<Request, Result>[] = [];
  const busyKeys = new Set<string>();
  let underWay = 0;
  /** Those of them that have not stalled: the next one waits for these. */
  let lively = 0;
  let beginning = false;
  let idle: PromiseWithResolvers<void> | undefined;
  const unlimited = rootCall({ caller: name, timeoutMs: Infinity });

  /** Begins the next batch, if it need not wait, at the end of this turn of the event loop, so that requests which arrive together share it. */
  function beginSoon(): void {
    if (beginning || waiting.length === 0 || lively > 0 || underWay >= underWayMax) return;
    beginning = true;
    // The turn may end in the context of somebody's transaction.
    atTurnEnd(() => outsideTransaction(begin));
  }

  function begin(): void {
    beginning = false;
    const batch = take();
    if (batch.length > 0) void work(batch);
    else settleIdle();
  }

  async function work(batch: readonly Waiting<Request, Result>[]): Promise<void> {
    underWay++;
    lively++;
    let stalled = false;
    // Those that wait cannot know of the lock, and perhaps nobody comes after them.
    const timer = setTimeout(() => {
      stalled = true;
      lively--;
      beginSoon();
    }, stalledMs);
    const repeated = await settle(batch);
    clearTimeout(timer);
    underWay--;
    if (!stalled) lively--;
    for (const { key } of batch) if (key !== undefined) busyKeys.delete(key);
    if (repeated.length > 0) waiting = [...repeated, ...waiting];
    beginSoon();
    settleIdle();
  }

  /** The next batch, in the order of arrival; without those about something that is under way, which stay, and those whose call is over. */
  function take(): Waiting<Request, Result>[] {
    const batch: Waiting<Request, Result>[] = [];
    const left: Waiting<Request, Result>[] = [];
    let size = 0;
    let full = false;
    for (const item of waiting) {
      if (full || (item.key !== undefined && busyKeys.has(item.key))) {
        left.push(item);
        continue;
      }
      if (!isWanted(item)) continue;
      // Nothing smaller takes its place, so that it is the first of the next batch.
      full = batch.length >= itemsMax || (batch.length > 0 && size + item.size > sizeMax);
      if (full) {
        left.push(item);
        continue;
      }
      if (item.key !== undefined) busyKeys.add(item.key);
      size += item.size;
      batch.push(item);
    }
    waiting = left;
    return batch;
  }

  /** Executes the items and settles them; gives those that are to be executed again. When all fail, each half is tried by itself, so that an item's fault does not reach the others. */
  async function settle(batch: readonly Waiting<Request, Result>[]): Promise<readonly Waiting<Request, Result>[]> {
    let outcomes: readonly Outcome<Result>[];
    try {
      outcomes = await execute(batch);
      if (outcomes.length !== batch.length) throw new Error(`${name} gave ${outcomes.length} outcomes for ${batch.length} requests`);
    } catch (error) {
      if (batch.length === 1 || isUnknown(error)) {
        for (const { reject } of batch) reject(error);
        return [];
      }
      const middle = batch.length >> 1;
      const first = await settle(batch.slice(0, middle));
      return [...first, ...(await settle(batch.slice(middle)))];
    }
    const repeated: Waiting<Request, Result>[] = [];
    for (const [at, item] of batch.entries()) {
      const outcome = outcomes[at]!;
      if (outcome === again) repeated.push(item);
      else if (outcome instanceof Error) item.reject(outcome);
      else item.resolve(outcome);
    }
    return repeated;
  }

  function settleIdle(): void {
    if (waiting.length > 0 || underWay > 0) return;
    idle?.resolve();
    idle = undefined;
  }

  return {
    async run(request, call = unlimited) {
      forbidInTransaction(name);
      if (waiting.length >= waitingMax)
        throw refuse({ reason: "OVERLOADED", code: "unavailable", message: "The shop is busy; try again", retryAfterMs: 1_000 });
      return new Promise((resolve, reject) => {
        waiting.push({ request, call, key: keyOf?.(request), size: sizeOf(request), resolve, reject });
        beginSoon();
      });
    },
    async idle() {
      if (waiting.length > 0 || underWay > 0) await (idle ??= Promise.withResolvers()).promise;
    },
  };
}

/** Gives each item's outcome by a rule for one: what it throws is that item's refusal, and nobody else's. */
export function decideEach<Item, Decision>(items: readonly Item[], rule: (item: Item) => Decision): (Decision | Error)[] {
  return items.map((item) => {
    try {
      return rule(item);
    } catch (error) {
      return error instanceof Error ? error : new Error("A rule failed", { cause: error });
    }
  });
}

/** Rejects a request whose caller has cancelled it or does not wait any more. */
function isWanted<Request, Result>({ call, reject }: Waiting<Request, Result>): boolean {
  try {
    call.check();
    return true;
  } catch (error) {
    reject(error);
    return false;
  }
}

/** Whether the items may have been executed, or cannot be now: then each caller repeats its request under its own key. A deadlock is neither: it has undone them all. */
function isUnknown(error: unknown): boolean {
  const code = refusalIn(error)?.code;
  return (code === "unavailable" || code === "deadline_exceeded") && sqlState(error) !== "40P01";
}
