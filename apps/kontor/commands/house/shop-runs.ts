import type { Connection } from "@kontor/platform/database/connection.ts";
import { holdHouse } from "@kontor/platform/database/house-lock.ts";

/** Whether a shop runs on this PostgreSQL. Takes up to a second when one does. */
export async function shopRuns(superuser: Connection): Promise<boolean> {
  const lock = await holdHouse(superuser);
  await lock?.release();
  return lock === undefined;
}
