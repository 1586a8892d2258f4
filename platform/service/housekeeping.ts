import { create } from "@bufbuild/protobuf";
import { EmptySchema } from "@bufbuild/protobuf/wkt";
import type { Clock } from "../clock/clock.ts";
import type { Database } from "../database/database.ts";
import { sweepIdempotencyKeys } from "../database/idempotency.ts";
import { rootCall } from "../call/call.ts";
import { queue } from "../tasks/tasks.ts";
import type { Queue, Tasks } from "../tasks/tasks.ts";

const everyMs = 3_600_000;

/** The hourly task of every service that removes stored responses after their day. */
export function housekeepingQueue({ database, clock }: { readonly database: Database; readonly clock: Clock }): Queue {
  return queue({
    name: "housekeeping",
    schema: EmptySchema,
    run: async () => {
      await sweepIdempotencyKeys(database, clock.now());
      return { again: new Date(clock.now().getTime() + everyMs) };
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
