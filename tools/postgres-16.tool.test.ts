import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { describe, it } from "node:test";
import pg from "pg";
import { startTestServer } from "../platform/testing/server.ts";
import { postgresOf } from "./postgres-of.ts";
import { root } from "./sources.ts";
import { toolFolder } from "./tool.ts";

const suiteTimeoutMs = 280_000;

describe("PostgreSQL 16", () => {
  it("DAT-02: runs embedded as well", async () => {
    await using server = await startTestServer({ binaries: postgresOf(toolFolder("postgres-16")) });
    const client = new pg.Client({ connectionString: server.url });
    await client.connect();
    const { rows } = await client.query("select current_setting('server_version_num') as version, upper('äß') as letters");
    await client.end();
    const { version, letters } = rows[0] as { readonly version: string; readonly letters: string };
    assert.match(version, /^16/);
    assert.equal(letters, "Äß");
  });

  it("DAT-02: the suites of accounts, catalogue, orders, payments and inventory pass on it", { timeout: suiteTimeoutMs }, () => {
    const services = ["identity", "catalog", "orders", "payments", "inventory"].map((name) => join("services", name));
    const { NODE_TEST_CONTEXT: _, KONTOR_TEST_POSTGRES: __, ...env } = process.env;
    const { status, stdout, stderr } = spawnSync(process.execPath, ["tools/test.ts", "--postgres", "16", ...services], {
      cwd: root,
      env,
      encoding: "utf8",
      maxBuffer: 2 ** 27,
      timeout: suiteTimeoutMs,
    });
    assert.equal(status, 0, `${stdout.slice(-4_000)}${stderr}`);
  });
});
