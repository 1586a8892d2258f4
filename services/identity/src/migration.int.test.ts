import assert from "node:assert/strict";
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it } from "node:test";
import { pathToFileURL } from "node:url";
import { migrate } from "@kontor/platform/database/migrate.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import { afterTests, openTestDatabase } from "@kontor/platform/testing/postgres.ts";
import { identity } from "./service.ts";

/** The database of the version before, with four accounts. */
async function openBefore() {
  const folder = await mkdtemp(join(tmpdir(), "kontor-identity-"));
  afterTests(() => rm(folder, { recursive: true }));
  await cp(new URL("0001-identity.sql", identity.migrations), join(folder, "0001-identity.sql"));
  const database = await openTestDatabase({
    name: "identity",
    migrations: [{ scope: "identity", folder: pathToFileURL(`${folder}/`) }],
  });
  const at = new Date("2026-03-02T09:00:00Z");
  const account = (id: string, key: string, status: string) =>
    database.run(sql`insert into accounts (id, version, email, email_key, name, password_hash, status, roles, created_at, updated_at)
      values (${id}, 2, ${key}, ${key}, 'Ann', 'hash', ${status}, '{}', ${at}, ${at})`);
  const verification = (id: string, owner: string) =>
    database.run(sql`insert into verifications (id, account, expires_at, created_at) values (${id}, ${owner}, ${at}, ${at})`);
  await account("usr_1", "ann@shop.example", "VERIFIED");
  await account("usr_2", "rene\u0301@shop.example", "VERIFIED");
  await account("usr_3", "rené@shop.example", "VERIFIED");
  await account("usr_4", "zoe\u0308@shop.example", "VERIFIED");
  await account("usr_5", "bo@shop.example", "UNVERIFIED");
  await verification("vrf_1", "usr_1");
  await verification("vrf_5", "usr_5");
  await verification("vrf_6", "usr_5");
  for (const owner of ["usr_1", "usr_5"])
    await database.run(sql`insert into sessions (id, account, generation, created_at, last_used_at, expires_at)
      values (${`ses_${owner}`}, ${owner}, 1, ${at}, ${at}, ${at})`);
  return { database, account, verification };
}

it("DAT-07, ID-01: accounts that were not verified become registrations, now and while the version before makes them, and lose their sessions", async () => {
  const { database, account, verification } = await openBefore();
  await migrate(database, [{ scope: "identity", folder: identity.migrations! }]);
  await account("usr_6", "cy@shop.example", "UNVERIFIED");
  await verification("vrf_7", "usr_6");
  await verification("vrf_8", "usr_6");
  await verification("vrf_9", "usr_1");
  const registrations = sql`select account, email_key as key, verification, version from registrations order by account`;
  assert.deepEqual(await database.rows(registrations), [
    { account: "usr_5", key: "bo@shop.example", verification: "vrf_6", version: 2 },
    { account: "usr_6", key: "cy@shop.example", verification: "vrf_8", version: 3 },
  ]);
  assert.deepEqual(await database.rows(sql`select account from sessions`), [{ account: "usr_1" }]);
  // What stands in the way of a verified account can go.
  await database.run(sql`delete from accounts where status = 'UNVERIFIED'`);
});

it("DAT-07, ID-01: addresses are compared with composed letters, and where two accounts become one by that the one that has them keeps its own", async () => {
  const { database } = await openBefore();
  await migrate(database, [{ scope: "identity", folder: identity.migrations! }]);
  const keys = sql`select id, email_key as key from accounts where status = 'VERIFIED' order by id`;
  assert.deepEqual(await database.rows(keys), [
    { id: "usr_1", key: "ann@shop.example" },
    { id: "usr_2", key: "rene\u0301@shop.example" },
    { id: "usr_3", key: "rené@shop.example" },
    { id: "usr_4", key: "zoë@shop.example" },
  ]);
  assert.deepEqual(await database.rows(sql`select id from accounts where email_key <> normalize(email_key)`), [{ id: "usr_2" }]);
});
