import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { engineAddress } from "../testing/engines.ts";
import { afterTests } from "../testing/postgres.ts";
import { withClient } from "./client.ts";
import { connectionFrom } from "./connection.ts";
import type { Connection } from "./connection.ts";
import { sqlState } from "./database.ts";

export interface EngineDatabase {
  /** As a superuser. */
  readonly superuser: Connection;
  /** As a role that owns the database and has no other right. */
  readonly connection: Connection;
  /** The same on the standby. */
  readonly replica: Connection;
  readonly ca: string;
}

export const engineServer = (): Connection => connectionFrom(engineAddress("ENGINE_POSTGRES"), "ENGINE_POSTGRES");
export const engineReplica = (): Connection => connectionFrom(engineAddress("ENGINE_POSTGRES_REPLICA"), "ENGINE_POSTGRES_REPLICA");

/** Runs one statement, or several without parameters, and gives the rows of the last. */
export function onServer(connection: Connection, text: string): Promise<Record<string, unknown>[]> {
  return withClient(connection, async (client) => {
    const result = await client.query<Record<string, unknown>>(text);
    return (Array.isArray(result) ? result.at(-1) : result).rows;
  });
}

/** A database and a role of a test's own on the real server, replicated to its standby; dropped after the tests. */
export async function openEngineDatabase(): Promise<EngineDatabase> {
  const server = engineServer();
  const name = `test_${randomBytes(6).toString("hex")}`;
  const own = { user: name, password: randomBytes(12).toString("hex"), database: name };
  await onServer(server, `create role ${name} login password '${own.password}'`);
  await onServer(server, `create database ${name} owner ${name} template template0 encoding 'UTF8'`);
  const drop = async (): Promise<void> => {
    try {
      await onServer(server, `drop database if exists ${name}`);
    } catch (error) {
      if (sqlState(error) !== "55006") throw error;
      console.error(`${name} still has open connections after the tests: stop the database in an after hook.`);
      await onServer(server, `drop database if exists ${name} with (force)`);
    }
    await onServer(server, `drop role if exists ${name}`);
  };
  // Not awaited: hooks registered after this one, which close connections, run after it. PostgreSQL waits 5 s for them.
  afterTests(() => void drop());
  const replica = { ...engineReplica(), ...own };
  await until(() => onServer(replica, "select"));
  return { superuser: { ...server, database: name }, connection: { ...server, ...own }, replica, ca: engineAddress("ENGINE_POSTGRES_CA") };
}

/** Waits for a standby that does not have a database or role yet. */
async function until(attempt: () => Promise<unknown>): Promise<void> {
  for (const deadline = Date.now() + 10_000; ;)
    try {
      await attempt();
      return;
    } catch (error) {
      if (Date.now() > deadline || !["3D000", "28P01"].includes(sqlState(error) ?? "")) throw error;
      await sleep(20);
    }
}
