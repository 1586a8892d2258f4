import { fork } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { StringValueSchema } from "@bufbuild/protobuf/wkt";
import { queue } from "./tasks.ts";
import type { Queue, Task } from "./tasks.ts";

/** What a worker process is to work on. */
export interface WorkerOrders {
  readonly databaseUrl: string;
  readonly rabbitUrl: string;
  readonly prefix: string;
  readonly service: string;
  readonly queue: string;
  readonly timeoutMs: number;
  readonly leaseMs: number;
}

/** A queue whose tasks begin and never end. */
export function hangingQueue(name: string, timeoutMs: number, begun: (task: Task) => void): Queue {
  return queue({
    name,
    timeoutMs,
    schema: StringValueSchema,
    run: async (task) => {
      begun(task);
      await new Promise(() => undefined);
    },
  });
}

/** Starts a worker process; resolves when it works. */
export async function startWorker(orders: WorkerOrders): Promise<ChildProcess> {
  const child = fork(new URL("./test-worker-process.ts", import.meta.url), [JSON.stringify(orders)], { execArgv: [] });
  await once(child, "message");
  return child;
}
