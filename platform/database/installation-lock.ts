import pg from "pg";
import type { Connection } from "./connection.ts";
import { sqlState } from "./database.ts";

/** "kontor" in ASCII: one number for every shop, because each has a PostgreSQL of its own. */
const lockNumber = 0x6b6f6e746f72n;
/** PostgreSQL may take a moment to notice that a killed shop's connection is closed. */
const waitMs = 1_000;

export interface InstallationLock {
  /** Lets the next shop start. Repeating it is fine. */
  release(): Promise<void>;
}

/**
 * Marks that a shop runs on this PostgreSQL, for as long as the lock's connection is open; undefined when another shop holds the lock and
 * keeps it for a second. `lost` is called when the server ends the connection: another shop could start then.
 */
export async function acquireInstallationLock(
  connection: Connection,
  lost?: (error: Error) => void,
): Promise<InstallationLock | undefined> {
  const client = new pg.Client({
    ...connection,
    database: "postgres",
    application_name: "kontor installation lock",
    lock_timeout: waitMs,
    keepAlive: true,
  });
  let released: Promise<void> | undefined;
  let closed = false;
  client.on("error", (error) => {
    closed = true;
    if (released === undefined) lost?.(error);
  });
  await client.connect();
  try {
    await client.query("select pg_advisory_lock($1)", [lockNumber]);
  } catch (error) {
    await client.end();
    if (sqlState(error) === "55P03") return undefined;
    throw error;
  }
  const release = async (): Promise<void> => {
    // Unlocked explicitly, because the server ends the session some time after the connection is closed.
    if (!closed) await client.query("select pg_advisory_unlock($1)", [lockNumber]);
    await client.end();
  };
  return { release: () => (released ??= release()) };
}
