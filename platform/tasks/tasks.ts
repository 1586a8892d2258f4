import type { DescMessage, Message, MessageShape } from "@bufbuild/protobuf";
import type { Transaction } from "../database/database.ts";
import type { Sql } from "../database/sql.ts";
import type { Call } from "../call/call.ts";

/** Work to be done: a row written in the same transaction as its cause. */
export interface NewTask {
  readonly queue: string;
  /** Unique within the queue: a second one with the same key is not made. */
  readonly key: string;
  /** Ids only, never personal data. */
  readonly payload: Message;
  /** When it is due; at once by default. */
  readonly dueAt?: Date;
  /** What led to it, when it is not the call given for all. */
  readonly call?: Call;
}

export interface Task<Payload extends Message = Message> {
  /** `tsk_…`, stable over retries: the Message-ID of a mail, the idempotency key of a call. */
  readonly id: string;
  readonly queue: string;
  readonly key: string;
  readonly payload: Payload;
  /** 1 at the first try. */
  readonly attempt: number;
  readonly dueAt: Date;
}

/** How a task ended well. Nothing at all means done. */
export interface TaskResult {
  /** Written in the transaction that marks the task done. */
  readonly effect?: (tx: Transaction) => Promise<void>;
  /** The same row goes on: due again then, attempts counted anew. */
  readonly again?: Date;
}

export interface Queue {
  readonly name: string;
  readonly schema: DescMessage;
  /** How many run at a time in this process: 8 by default. */
  readonly concurrency?: number;
  /** Tries before the dead letters: 10 by default. */
  readonly attemptsMax?: number;
  /** The first pause; it doubles, with jitter of ±20 %, up to `retryDelayMsMax`. 1,000 and 600,000 by default. */
  readonly retryDelayMs?: number;
  readonly retryDelayMsMax?: number;
  /** How long a try may take: 30,000 by default. */
  readonly timeoutMs?: number;
  /** Does the work, outside any transaction. Throwing means to try again later. It may run more than once; its effect is written once. */
  readonly run: (task: Task, call: Call) => Promise<TaskResult | void>;
  /** Written in the transaction that marks these done, for all that are done with neither `effect` nor `again`: one for many. */
  readonly settle?: (tx: Transaction, tasks: readonly Task[]) => Promise<void>;
}

/** Declares a queue, with the payload typed by its schema. */
export function queue<S extends DescMessage>(
  definition: Omit<Queue, "run" | "schema" | "settle"> & {
    readonly schema: S;
    readonly run: (task: Task<MessageShape<S>>, call: Call) => Promise<TaskResult | void>;
    readonly settle?: (tx: Transaction, tasks: readonly Task<MessageShape<S>>[]) => Promise<void>;
  },
): Queue {
  return definition as unknown as Queue;
}

/** A service's own tasks. */
export interface Tasks {
  /** Writes tasks inside the caller's transaction, in one statement; the worker is woken after the commit. */
  add(tx: Transaction, call: Call, tasks: readonly NewTask[]): Promise<void>;
  /** The same as a fragment to stand in a `with`. Whoever uses it calls `wake` after the commit. */
  addSql(call: Call, tasks: readonly NewTask[]): Sql;
  /** Makes a waiting task due at another time; nothing happens when it is done or running. */
  reschedule(tx: Transaction, queue: string, key: string, dueAt: Date): Promise<void>;
  /** Tells the worker of tasks that were added, the first of them due at `dueAt`: at once by default. */
  wake(dueAt?: Date): void;
}
