import { Admin } from "@platformatic/kafka";
import { createClient } from "@redis/client";
import { MongoClient } from "mongodb";
import pg from "pg";
import { engineAddress } from "./engines.ts";

/** Deletes the data of an installation with this namespace from the real servers. The installation must have stopped. */
export async function eraseServers(namespace: string): Promise<void> {
  if (!/^(e2e|bench)_\w+$/.test(namespace)) throw new Error(`${namespace} is not the namespace of a test`);
  await Promise.all([
    eraseDatabases(namespace),
    eraseTopics(`${namespace}.`),
    eraseQueues(`${namespace}.`),
    eraseKeys(`${namespace}:`),
    eraseIndexes(`${namespace}-`),
    eraseCollections(`${namespace}_`),
  ]);
}

async function eraseDatabases(namespace: string): Promise<void> {
  const client = new pg.Client({ connectionString: engineAddress("ENGINE_POSTGRES") });
  await client.connect();
  try {
    const { rows } = await client.query<{ name: string }>("select datname as name from pg_database where starts_with(datname, $1)", [
      `${namespace}_`,
    ]);
    for (const { name } of rows) {
      await client.query(`drop database ${pg.escapeIdentifier(name)} with (force)`);
      await client.query(`drop role ${pg.escapeIdentifier(name)}`);
    }
  } finally {
    await client.end();
  }
}

async function eraseTopics(prefix: string): Promise<void> {
  const admin = new Admin({ clientId: "erase", bootstrapBrokers: engineAddress("ENGINE_KAFKA").split(","), retries: 3, retryDelay: 300 });
  try {
    const topics = (await admin.listTopics()).filter((name) => name.startsWith(prefix));
    if (topics.length > 0) await admin.deleteTopics({ topics });
    const groups = [...(await admin.listGroups()).keys()].filter((name) => name.startsWith(prefix));
    if (groups.length > 0) await admin.deleteGroups({ groups });
  } finally {
    await admin.close();
  }
}

async function eraseQueues(prefix: string): Promise<void> {
  const { origin, username, password } = new URL(engineAddress("ENGINE_RABBITMQ_MANAGEMENT"));
  const headers = { authorization: `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}` };
  for (const kind of ["queues", "exchanges"]) {
    const all = (await (await fetch(`${origin}/api/${kind}/%2F?columns=name`, { headers })).json()) as { readonly name: string }[];
    for (const { name } of all)
      if (name.startsWith(prefix)) await fetch(`${origin}/api/${kind}/%2F/${encodeURIComponent(name)}`, { method: "DELETE", headers });
  }
}

async function eraseKeys(prefix: string): Promise<void> {
  const client = createClient({ url: engineAddress("ENGINE_REDIS") });
  await client.connect();
  try {
    for await (const keys of client.scanIterator({ MATCH: `${prefix}*`, COUNT: 1_000 })) if (keys.length > 0) await client.del(keys);
  } finally {
    client.destroy();
  }
}

async function eraseIndexes(prefix: string): Promise<void> {
  const url = engineAddress("ENGINE_OPENSEARCH");
  const names = Object.keys((await (await fetch(`${url}/${prefix}*`)).json()) as object);
  if (names.length > 0) await fetch(`${url}/${names.join(",")}`, { method: "DELETE" });
}

async function eraseCollections(prefix: string): Promise<void> {
  const client = new MongoClient(engineAddress("ENGINE_MONGODB"));
  await client.connect();
  try {
    const database = client.db();
    for (const { name } of await database.listCollections({}, { nameOnly: true }).toArray())
      if (name.startsWith(prefix)) await database.dropCollection(name);
  } finally {
    await client.close();
  }
}
