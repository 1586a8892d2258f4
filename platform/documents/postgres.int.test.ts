import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import type { Database } from "../database/database.ts";
import { migrate } from "../database/migrate.ts";
import { openTestDatabase } from "../database/open-test-database.ts";
import { documentsContract } from "./documents.contract.ts";
import type { Documents } from "./documents.ts";
import { createPostgresDocuments, documentsMigrations } from "./postgres.ts";

describe("documents in PostgreSQL", () => {
  let documents: Documents;
  let statements = 0;

  before(async () => {
    const { database } = await openTestDatabase();
    await migrate(database, [documentsMigrations]);
    documents = createPostgresDocuments({ database: counted(database, () => statements++) });
  });

  documentsContract("postgres", async () => documents);

  it("sends the database one statement for each operation", async () => {
    const notes = documents.collection<{ text: string }>("counted");
    statements = 0;
    await notes.put("n", { text: "a" }, { expectedVersion: 0 });
    await notes.put("n", { text: "b" }, { expectedVersion: 1 });
    await notes.get("n", new Date());
    await notes.delete("n");
    await notes.sweep(new Date());
    assert.equal(statements, 5);
    await assert.rejects(notes.put("n", { text: "c" }, { expectedVersion: 2 }), { reason: "VERSION_CONFLICT" });
    assert.equal(statements, 7);
  });
});

function counted(database: Database, count: () => void): Database {
  return new Proxy(database, {
    get: (target, name) => {
      if (name === "rows" || name === "maybe" || name === "one" || name === "run") count();
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? (value.bind(target) as unknown) : value;
    },
  });
}
