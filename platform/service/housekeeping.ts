import { create } from "@bufbuild/protobuf";
import { EmptySchema } from "@bufbuild/protobuf/wkt";
import { rootCall } from "../call/call.ts";
import type { Clock } from "../clock/clock.ts";
import type { Database } from "../database/database.ts";
import type { Documents } from "../documents/documents.ts";
import { hourMs } from "../retention/retention.ts";
import type { Retention } from "../retention/retention.ts";
import { sweep } from "../retention/sweep.ts";
import type { Logger } from "../telemetry/logger.ts";
import { queue } from "../tasks/tasks.ts";
import type { Queue, Tasks } from "../tasks/tasks.ts";

interface Needs {
  readonly database: Database;
  readonly clock: Clock;
  readonly log: Logger;
  readonly documents: Documents;
  readonly retentions: readonly Retention[];
  readonly collections: readonly string[];
}

/**
 * The hourly task of every service that sweeps its tables and its expired documents. One row, so that of several processes one sweeps; it is due again at
 * once while there is more.
 */
export function housekeepingQueue({ database, clock, log, documents, retentions, collections }: Needs): Queue {
  return queue({
    name: "housekeeping",
    schema: EmptySchema,
    concurrency: 1,
    run: async () => {
      const now = clock.now();
      // Not thrown: a task that fails too often ends, and nothing would be swept until an operator replays it.
      const more = await sweep(database, retentions, now, (error) => log.warn({ error }, error.message));
      for (const name of collections)
        try {
          await documents.collection(name).sweep(now);
        } catch (error) {
          log.warn({ error }, `expired ${name} could not be swept, and will be in an hour`);
        }
      return { again: more ? now : new Date(now.getTime() + hourMs) };
    },
  });
}

export async function startHousekeeping({
  database,
  tasks,
  name,
}: {
  readonly database: Database;
  readonly tasks: Tasks;
  readonly name: string;
}): Promise<void> {
  const call = rootCall({ caller: name, timeoutMs: 5_000 });
  await database.transaction((tx) => tasks.add(tx, call, [{ queue: "housekeeping", key: "hourly", payload: create(EmptySchema) }]));
}
