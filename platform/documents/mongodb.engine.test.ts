import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { MongoClient } from "mongodb";
import { engineAddress } from "../testing/engines.ts";
import { documentsContract } from "./documents.contract.ts";
import type { DocumentsServer } from "./documents.ts";
import { createMongoDocuments } from "./mongodb.ts";
import { logLines } from "./test-log.ts";

const database = `test_${randomUUID()}`;

/** A machine that does much else at the same time is no reason to refuse. */
const patienceMs = 20_000;

describe("DAT-03: documents in MongoDB", () => {
  const { log, lines } = logLines();
  const url = () => engineAddress("ENGINE_MONGODB");
  let documents: DocumentsServer;
  let client: MongoClient;

  before(async () => {
    client = await new MongoClient(url()).connect();
    documents = createMongoDocuments({ url: url(), database, log, timeoutMs: patienceMs });
    await documents.start();
  });
  after(async () => {
    await documents.stop();
    await client.db(database).dropDatabase();
    await client.close();
  });

  documentsContract("mongodb", async () => documents);

  it("stores a document as one, with its body as MongoDB's own, and indexes what expires", async () => {
    const notes = documents.collection<{ text: string }>("notes");
    const expiresAt = new Date(Date.now() + 60_000);
    await notes.put("n", { text: "a" }, { expectedVersion: 0, expiresAt });
    const stored = client.db(database).collection<{ _id: string }>("kontor_notes");
    const removedAt = new Date(expiresAt.getTime() + 24 * 3_600_000);
    assert.deepEqual(await stored.findOne({ _id: "n" }), { _id: "n", version: 1, body: { text: "a" }, expiresAt, removedAt });
    await notes.put("n", { text: "b" }, { expectedVersion: 1 });
    assert.deepEqual(await stored.findOne({ _id: "n" }), { _id: "n", version: 2, body: { text: "b" } });
    const names = async () => (await stored.indexes()).map(({ name }) => String(name)).toSorted((a, b) => (a < b ? -1 : 1));
    while ((await names()).length < 3);
    assert.deepEqual(await names(), ["_id_", "expiresAt_1", "removedAt_1"]);
  });

  it("refuses to start at what is no address, without telling the password", async () => {
    for (const wrong of ["localhost:27017", "mongodb://a:secret@", "http://a:secret@localhost"])
      await assert.rejects(
        createMongoDocuments({ url: wrong, log }).start(),
        (error: Error) => /not like mongodb:\/\//.test(error.message) && !error.message.includes("secret"),
      );
  });

  it("starts without its server, refuses at once, logs once, and stops", async () => {
    const quiet = logLines();
    const unreachable = createMongoDocuments({ url: "mongodb://127.0.0.1:9", log: quiet.log, timeoutMs: 200 });
    const notes = unreachable.collection<{ text: string }>("notes");
    await assert.rejects(notes.get("n", new Date()), { reason: "DEPENDENCY_UNAVAILABLE", code: "unavailable" });
    await unreachable.start();
    assert.equal(unreachable.ready(), false);
    const began = performance.now();
    await assert.rejects(notes.put("n", { text: "a" }, { expectedVersion: 0 }), { reason: "DEPENDENCY_UNAVAILABLE" });
    assert.ok(performance.now() - began < 100);
    assert.deepEqual(quiet.lines, ["warn: MongoDB, which stores the documents, is unreachable; reconnecting"]);
    await unreachable.stop();
    await unreachable.stop();
    await assert.rejects(notes.get("n", new Date()), { reason: "DEPENDENCY_UNAVAILABLE" });
  });

  it("has nothing to say when all is well", () => assert.deepEqual(lines, []));
});
