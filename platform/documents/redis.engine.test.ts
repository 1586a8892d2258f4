import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { createClient, createCluster } from "@redis/client";
import { engineAddress } from "../testing/engines.ts";
import { documentsContract } from "./documents.contract.ts";
import type { DocumentsServer } from "./documents.ts";
import { createRedisDocuments } from "./redis.ts";
import { logLines } from "./test-log.ts";

const prefix = `test-${randomUUID()}`;
const single = () => [engineAddress("ENGINE_REDIS")];
const cluster = () => engineAddress("ENGINE_REDIS_CLUSTER").split(",");

/** A busy machine is no reason to refuse. */
const patienceMs = 20_000;

describe("documents in Redis", () => {
  const { log, lines } = logLines();
  let documents: DocumentsServer;

  before(async () => {
    documents = createRedisDocuments({ urls: single(), prefix, log, timeoutMs: patienceMs });
    await documents.start();
  });
  after(async () => {
    await documents.stop();
    const client = await createClient({ url: single()[0]! }).connect();
    for await (const keys of client.scanIterator({ MATCH: `${prefix}:*`, COUNT: 1_000 })) if (keys.length > 0) await client.unlink(keys);
    client.destroy();
  });

  documentsContract("redis", async () => documents);

  it("sends the server one command for each operation", async () => {
    const client = await createClient({ url: single()[0]! }).connect();
    const notes = documents.collection<{ text: string }>("counted");
    const seen: string[] = [];
    const watcher = await client.duplicate().connect();
    await watcher.monitor((line) => {
      if (line.includes(prefix) && !line.includes("lua")) seen.push(line);
    });
    await notes.put("n", { text: "a" }, { expectedVersion: 0 });
    await notes.put("n", { text: "b" }, { expectedVersion: 1 });
    await notes.get("n", new Date());
    await assert.rejects(notes.put("n", { text: "c" }, { expectedVersion: 1 }), { reason: "VERSION_CONFLICT" });
    await notes.delete("n");
    // The watcher is sent this one after all of them.
    await client.set(`${prefix}:end`, "");
    while (!seen.some((line) => line.includes(":end"))) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(seen.length, 6);
    watcher.destroy();
    client.destroy();
  });

  it("runs on after the server has forgotten the scripts", async () => {
    const client = await createClient({ url: single()[0]! }).connect();
    const notes = documents.collection<{ text: string }>("scripts");
    await notes.put("n", { text: "a" }, { expectedVersion: 0 });
    await client.scriptFlush();
    client.destroy();
    assert.equal(await notes.put("n", { text: "b" }, { expectedVersion: 1 }), 2);
  });

  it("removes expired documents by the time passed; the server removes them by its own clock a day later", async () => {
    const client = await createClient({ url: single()[0]! }).connect();
    const notes = documents.collection<{ text: string }>("expiring");
    const longAgo = new Date("2020-01-01T00:00:00Z");
    const later = new Date(Date.now() + 3_600_000);
    await notes.put("old", { text: "a" }, { expectedVersion: 0, expiresAt: longAgo });
    await notes.put("new", { text: "a" }, { expectedVersion: 0, expiresAt: later });
    assert.equal((await notes.get("old", new Date(longAgo.getTime() - 1)))?.version, 1);
    const keys = (await client.keys(`${prefix}:{expiring.*`)).filter((key) => /:(?:old|new)$/.test(key));
    const ttls = new Map<string, number>();
    for (const key of keys) ttls.set(key.slice(-3), await client.pTTL(key));
    const dayMs = 24 * 3_600_000;
    assert.ok(Math.abs(ttls.get("old")! - dayMs) < 5_000);
    assert.ok(Math.abs(ttls.get("new")! - dayMs - 3_600_000) < 5_000);
    assert.equal(await notes.put("new", { text: "b" }, { expectedVersion: 1 }), 2);
    assert.equal(await client.pTTL(keys.find((key) => key.endsWith("new"))!), -1);
    client.destroy();
  });

  it("refuses to start where the server rejects it, or with a wrong address, without showing the password", async () => {
    const url = new URL(single()[0]!);
    const { log, lines: logged } = logLines();
    const started = (...urls: string[]) => createRedisDocuments({ urls, log }).start();
    url.password = "wrong-secret";
    await assert.rejects(
      started(url.href),
      (error: Error) => /rejects the connection: WRONGPASS/.test(error.message) && !error.message.includes("secret"),
    );
    await assert.rejects(started("localhost:6379"), /not like redis:\/\//);
    await assert.rejects(started("http://a:secret@localhost"), (error: Error) => !error.message.includes("secret"));
    await assert.rejects(started(single()[0]!, "rediss://localhost"), /either all/);
    await assert.rejects(started(cluster()[0]!), /node of a cluster/);
    await assert.rejects(started(single()[0]!, single()[0]!), /rejects the connection/);
    assert.deepEqual(
      logged.filter((line) => line.includes("unreachable")),
      [],
    );
  });

  it("starts without its server, refuses at once, logs once, and stops", async () => {
    const quiet = logLines();
    const unreachable = createRedisDocuments({ urls: ["redis://127.0.0.1:9"], log: quiet.log, timeoutMs: 200 });
    const notes = unreachable.collection<{ text: string }>("notes");
    await assert.rejects(notes.get("n", new Date()), { reason: "DEPENDENCY_UNAVAILABLE", code: "unavailable" });
    await unreachable.start();
    assert.equal(unreachable.ready(), false);
    const began = performance.now();
    await assert.rejects(notes.put("n", { text: "a" }, { expectedVersion: 0 }), { reason: "DEPENDENCY_UNAVAILABLE" });
    assert.ok(performance.now() - began < 100);
    assert.equal(quiet.lines.length, 1);
    assert.match(quiet.lines[0]!, /^warn: Redis, which stores the documents, is unreachable/);
    await unreachable.stop();
    await unreachable.stop();
    await assert.rejects(
      documents
        .collection("notes")
        .get("n", new Date())
        .then(() => notes.get("n", new Date())),
      {
        reason: "DEPENDENCY_UNAVAILABLE",
      },
    );
  });

  it("logs when Redis may lose documents", () => {
    assert.ok(
      lines.every((line) => /^warn: Redis (?:removes|forgets)/.test(line)),
      lines.join("\n"),
    );
  });
});

describe("documents in a Redis cluster", () => {
  const { log } = logLines();
  let documents: DocumentsServer;

  before(async () => {
    documents = createRedisDocuments({ urls: cluster(), prefix, log, timeoutMs: patienceMs });
    await documents.start();
  });
  after(async () => {
    await documents.stop();
    const client = createCluster({ rootNodes: cluster().map((url) => ({ url })) });
    await client.connect();
    for (const master of client.masters) {
      const node = await client.nodeClient(master);
      for await (const keys of node.scanIterator({ MATCH: `${prefix}:*`, COUNT: 1_000 })) for (const key of keys) await node.unlink(key);
    }
    client.destroy();
  });

  documentsContract("redis cluster", async () => documents);

  it("DAT-11: a collection is spread over all masters", async () => {
    const notes = documents.collection<{ text: string }>("spread");
    await Promise.all(Array.from({ length: 300 }, (_, n) => notes.put(`n${n}`, { text: "a" }, { expectedVersion: 0 })));
    const client = createCluster({ rootNodes: cluster().map((url) => ({ url })) });
    await client.connect();
    for (const master of client.masters) {
      const node = await client.nodeClient(master);
      const keys: string[] = [];
      for await (const found of node.scanIterator({ MATCH: `${prefix}:{spread.*`, COUNT: 1_000 })) keys.push(...found);
      assert.ok(keys.length > 50, `${keys.length} of 300`);
    }
    client.destroy();
  });
});
