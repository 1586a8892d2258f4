import pg from "pg";
import type { Connection } from "./connection.ts";
import { Endpoints, ReadOnlyServer } from "./endpoints.ts";

/**
 * Runs `work` with a plain client of its own, outside of any connection budget: for what is done to a server and not for a service. Of several
 * hosts it takes the one that accepts writes.
 */
export async function withClient<T>(connection: Connection, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = await connectClient(connection);
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

/** A plain client, connected. A lost connection fails the query under way; without one, the client's "error" event reports it. */
export async function connectClient(connection: Connection, settings: pg.ClientConfig = {}): Promise<pg.Client> {
  return new Endpoints(connection).connect(async (target) => {
    const client = new pg.Client({ ...target, ...settings });
    client.on("error", () => undefined);
    await client.connect();
    if (connection.others === undefined) return client;
    const { rows } = await client.query<{ standby: boolean }>("select pg_is_in_recovery() as standby");
    if (rows[0]?.standby !== true) return client;
    await client.end();
    throw new ReadOnlyServer(`PostgreSQL at ${target.host}:${target.port} is a standby`);
  });
}
