import type { DescMessage, Message, MessageShape } from "@bufbuild/protobuf";
import type { Transaction } from "../database/database.ts";
import type { Sql } from "../database/sql.ts";
import type { Writes } from "../database/writes.ts";
import type { Call } from "../call/call.ts";

/** Work to be done: a row written in the same transaction as its cause. */
export interface NewTask {
  readonly queue: string;
  /** Unique within the queue: a second one with the same key is not written. */
  readonly key: string;
  /** Ids only, never personal data. */
  readonly payload: Message;
  /** When it is due; at once by default. */
  readonly dueAt?: Date;
  /** The call that caused it, when it is not the one of all tasks. */
  readonly call?: Call;
  /** The id of the thing that it is about: for `addSql` with `written`. */
  readonly of?: string;
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
  /** The same row is due again then, with its attempts counted from zero. */
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
  /** Does the work, outside any transaction. When it throws, it is retried later. It may run more than once; its effect is written once. */
  readonly run: (task: Task, call: Call) => Promise<TaskResult | void>;
  /**
   * What the statement that marks these tasks done writes with it, for all without `effect` and `again`: one statement for many. `done` is a query for the ids
   * of those that it marks: it must write nothing for the others, which another process has claimed.
   */
  readonly settle?: (tasks: readonly Task[], done: Sql) => Writes;
}

/** Declares a queue, with the payload typed by its schema. */
export function queue<S extends DescMessage>(
  definition: Omit<Queue, "run" | "schema" | "settle"> & {
    readonly schema: S;
    readonly run: (task: Task<MessageShape<S>>, call: Call) => Promise<TaskResult | void>;
    readonly settle?: (tasks: readonly Task<MessageShape<S>>[], done: Sql) => Writes;
  },
): Queue {
  return definition as unknown as Queue;
}

/** A service's own tasks. */
export interface Tasks {
  /** Writes tasks inside the caller's transaction, in one statement; the worker is woken after the commit. */
  add(tx: Transaction, call: Call, tasks: readonly NewTask[]): Promise<void>;
  /**
   * The same as a fragment for a `with` clause. With `written`, a query for ids, only the tasks of these things are written. The caller calls `wake`
   * after the commit.
   */
  addSql(call: Call, tasks: readonly NewTask[], written?: Sql): Sql;
  /** Makes a waiting task due at another time; nothing happens when it is done or running. */
  reschedule(tx: Transaction, queue: string, key: string, dueAt: Date): Promise<void>;
  /** Notifies the worker of tasks that were added, the first of them due at `dueAt`: at once by default. */
  wake(dueAt?: Date): void;
}
