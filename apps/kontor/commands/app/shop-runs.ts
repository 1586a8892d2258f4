import type { Connection } from "@kontor/platform/database/connection.ts";
import { acquireInstallationLock } from "@kontor/platform/database/installation-lock.ts";

/** Whether a shop runs on this PostgreSQL. Takes up to a second when one does. */
export async function shopRuns(superuser: Connection): Promise<boolean> {
  const lock = await acquireInstallationLock(superuser);
  await lock?.release();
  return lock === undefined;
}
