import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { describe, it } from "node:test";
import { MongoClient } from "mongodb";
import { openTlsCluster } from "../redis/test-redis-tls.ts";
import { deleteKeys } from "../redis/test-redis.ts";
import { engineAddress } from "../testing/engines.ts";
import { afterTests } from "../testing/postgres.ts";
import { openTlsServer, tlsFaults, writtenLog } from "../testing/test-tls-server.ts";
import type { TlsServer } from "../testing/test-tls-server.ts";
import type { DocumentsServer } from "./documents.ts";
import { createMongoDocuments } from "./mongodb.ts";
import { createRedisDocuments } from "./redis.ts";

/** A busy machine is no reason to refuse. */
const patienceMs = 20_000;

interface Engine {
  readonly name: string;
  readonly behind: string;
  open(server: TlsServer, ca: string | undefined, plain?: boolean): { documents: DocumentsServer; clean(): Promise<void> } & Written;
}

type Written = ReturnType<typeof writtenLog>;

function openRedis(urls: readonly string[], ca: string | undefined) {
  const prefix = `test-${randomUUID()}`;
  const written = writtenLog();
  const documents = createRedisDocuments({ urls, prefix, log: written.log, timeoutMs: patienceMs, ...(ca !== undefined && { ca }) });
  return { documents, prefix, ...written };
}

const redis: Engine = {
  name: "Redis",
  behind: engineAddress("ENGINE_REDIS"),
  open({ host, port }, ca, plain = false) {
    const { username, password } = new URL(redis.behind);
    const opened = openRedis([`${plain ? "redis" : "rediss"}://${username}:${password}@${host}:${port}`], ca);
    return { ...opened, clean: () => deleteKeys([redis.behind], `${opened.prefix}*`) };
  },
};

const mongodb: Engine = {
  name: "MongoDB",
  behind: engineAddress("ENGINE_MONGODB"),
  open({ host, port }, ca, plain = false) {
    const database = `test_${randomUUID()}`;
    const written = writtenLog();
    const url = `mongodb://${host}:${port}/${plain ? "" : "?tls=true"}`;
    const documents = createMongoDocuments({ url, database, log: written.log, timeoutMs: patienceMs, ...(ca !== undefined && { ca }) });
    const clean = async (): Promise<void> => {
      const client = await new MongoClient(mongodb.behind).connect();
      await client.db(database).dropDatabase();
      await client.close();
    };
    return { documents, clean, ...written };
  },
};

async function works(documents: DocumentsServer): Promise<void> {
  await documents.start();
  const notes = documents.collection<{ text: string }>("notes");
  const [id, now] = [randomUUID(), new Date()];
  assert.equal(await notes.put(id, { text: "a" }, { expectedVersion: 0, expiresAt: new Date(now.getTime() + 60_000) }), 1);
  assert.deepEqual((await notes.get(id, now))?.body, { text: "a" });
}

for (const { name, behind, open } of [redis, mongodb])
  describe(`documents: ${name} with TLS`, () => {
    it("SEC-05: stores documents over encrypted connections alone, trusting the authority that is named", async () => {
      const server = await openTlsServer(behind);
      const { documents, lines, clean } = open(server, server.ca);
      afterTests(() => documents.stop());
      await works(documents);
      assert.deepEqual(
        lines.filter((line) => line.includes("unreachable")),
        [],
      );
      assert.equal(server.bypassed(), 0);
      await documents.stop();
      await clean();
    });

    for (const fault of tlsFaults)
      it(`SEC-05: sends nothing to a server ${fault.name}, logs why, and refuses calls`, async () => {
        const { server, ca } = await fault.open(behind);
        const { documents, says } = open(server, ca);
        afterTests(() => documents.stop());
        const starting = documents.start();
        await says(fault.says);
        const notes = documents.collection<{ text: string }>("notes");
        await assert.rejects(notes.put("n", { text: "a" }, { expectedVersion: 0 }), { reason: "DEPENDENCY_UNAVAILABLE" });
        await documents.stop();
        await starting;
        assert.equal(server.received(), 0);
      });

    it("SEC-05: gets no reply in plain text from a server with TLS", async () => {
      const server = await openTlsServer(behind);
      const { documents, says } = open(server, server.ca, true);
      afterTests(() => documents.stop());
      const starting = documents.start();
      await says(/is unreachable/);
      await documents.stop();
      await starting;
      assert.equal(server.received(), 0);
    });
  });

describe("documents: TLS", () => {
  it("SEC-05: is used with each node of a Redis cluster", async () => {
    const nodes = engineAddress("ENGINE_REDIS_CLUSTER").split(",");
    const { urls, ca, bypassed } = await openTlsCluster(nodes);
    const { documents, prefix } = openRedis(urls, ca);
    afterTests(() => documents.stop());
    for (let n = 0; n < 10; n++) await works(documents);
    assert.equal(bypassed(), 0);
    await documents.stop();
    await deleteKeys(nodes, `${prefix}*`);
  });

  it("SEC-05: cannot be switched off by MongoDB's address", async () => {
    const { log } = writtenLog();
    for (const option of ["tlsInsecure=true", "tlsAllowInvalidCertificates=true", "TLSAllowInvalidHostnames=true"])
      await assert.rejects(
        createMongoDocuments({ url: `mongodb://127.0.0.1:9/?tls=true&${option}`, log }).start(),
        new RegExp(`must not say ${option.split("=")[0]!}: name the authority`),
      );
  });
});
