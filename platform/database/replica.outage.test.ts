import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, test } from "node:test";
import { engineReplica, onServer } from "./open-test-server-database.ts";
import { openReplicated, replicaServes } from "./open-test-replicated-database.ts";
import { sql } from "./sql.ts";

describe("CON-04: a replica", () => {
  test("that has stopped replaying is not read from once it is too old, and again when it has caught up", async () => {
    const { database, replica, lines } = await openReplicated({ lagMs: 300 });
    await replicaServes(database);
    const server = { ...engineReplica(), database: replica.database };
    await onServer(server, "select pg_wal_replay_pause()");
    try {
      await database.run(sql`update things set n = 5 where id = 1`);
      database.changed("thing 1");
      assert.deepEqual(await database.reads("thing 1").one(sql`select n from things where id = 1`), { n: 5 });
      await sleep(350);
      // Whoever names no key gets what is at most 300 ms old.
      for (let round = 0; round < 20; round++)
        assert.deepEqual(await database.reads().one(sql`select n from things where id = 1`), { n: 5 });
    } finally {
      await onServer(server, "select pg_wal_replay_resume()");
    }
    await replicaServes(database, "thing 1");
    assert.deepEqual(lines, ["the replica cannot be read from; reads go to the primary", "the replica can be read from again"]);
  });
});
