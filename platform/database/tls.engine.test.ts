import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { before, describe, test } from "node:test";
import { rootCertificates } from "node:tls";
import { refusalIn } from "../errors/refusal.ts";
import { afterTests } from "../testing/postgres.ts";
import { connectionFrom, connectionUrl } from "./connection.ts";
import type { Connection, TlsMode } from "./connection.ts";
import { onServer, openEngineDatabase } from "./open-test-server-database.ts";
import type { EngineDatabase } from "./open-test-server-database.ts";
import { openTestDatabase } from "./open-test-database.ts";
import { sql } from "./sql.ts";

let engine: EngineDatabase;
before(async () => {
  engine = await openEngineDatabase();
});

/** As the URL says it. */
function protectedBy(tls: TlsMode | undefined, ca?: string, host = engine.connection.host): Connection {
  const url = connectionUrl({ ...engine.connection, host, ...(tls && { tls }), ...(ca !== undefined && { tlsRootFile: ca }) });
  return connectionFrom(url, "KONTOR_DATABASE_URL");
}

const causes = (error: unknown): string => (error instanceof Error ? `${error.message}\n${causes(error.cause)}` : "");

async function refused(connection: Connection, message: RegExp): Promise<void> {
  const { database } = await openTestDatabase({ connection });
  await assert.rejects(database.start(), (error) => {
    assert.equal(refusalIn(error)?.reason, "DEPENDENCY_UNAVAILABLE");
    assert.match(causes(error), message);
    return true;
  });
}

/** Whether each session of the test's database is encrypted, as the server sees it. */
async function sessions(): Promise<unknown[]> {
  const rows = await onServer(
    engine.superuser,
    `select distinct ssl from pg_stat_ssl join pg_stat_activity using (pid) where datname = current_database() and application_name like 'kontor %'`,
  );
  return rows.map(({ ssl }) => ssl);
}

describe("SEC-05: a database's connections", () => {
  for (const tls of ["verify-full", "verify-ca", "require"] as const)
    test(`are encrypted with ${tls}: single statements in a pipeline, transactions, the listen connection, and large results`, async () => {
      const { database } = await openTestDatabase({ connection: protectedBy(tls, tls === "require" ? undefined : engine.ca) });
      const numbers = await Promise.all(Array.from({ length: 500 }, (_, n) => database.one<{ n: number }>(sql`select ${n}::int as n`)));
      assert.deepEqual(
        numbers.map(({ n }) => n),
        numbers.map((_, n) => n),
      );
      const { promise, resolve } = Promise.withResolvers<string | undefined>();
      const end = await database.listen("c", resolve);
      await database.notify("c", "x");
      assert.equal(await promise, "x");
      const text = "€".repeat(1_000_000);
      await database.transaction(async (tx) => {
        assert.equal((await tx.one<{ text: string }>(sql`select ${text}::text as text`)).text, text);
        assert.deepEqual(await sessions(), [true]);
      });
      await end();
      await database.stop();
      assert.deepEqual(await sessions(), []);
    });

  test("are lost, cancelled and reopened like plain ones", async () => {
    const { database, budget } = await openTestDatabase({ connection: protectedBy("verify-full", engine.ca) });
    await assert.rejects(
      database.transaction((tx) => tx.run(sql`select pg_sleep(4)`), { timeoutMs: 100 }),
      (error) => refusalIn(error)?.reason === "DEPENDENCY_UNAVAILABLE",
    );
    // The server was told to stop the statement, on a connection of its own.
    const asleep = () =>
      onServer(
        engine.superuser,
        "select from pg_stat_activity where query like '%pg_sleep(4)%' and pid <> pg_backend_pid() and state = 'active'",
      );
    for (const deadline = Date.now() + 2_000; (await asleep()).length > 0;) assert.ok(Date.now() < deadline);
    const { pid } = await database.one<{ pid: number }>(sql`select pg_backend_pid() as pid`);
    await onServer(engine.superuser, `select pg_terminate_backend(${pid}, 5000)`);
    await database.run(sql`select 1`).catch((error: unknown) => assert.equal(refusalIn(error)?.reason, "DEPENDENCY_UNAVAILABLE"));
    assert.notEqual((await database.one<{ pid: number }>(sql`select pg_backend_pid() as pid`)).pid, pid);
    await database.stop();
    assert.equal(budget.figures("requests").open, 0);
  });

  test("are refused when the certificate is signed by another authority", async () => {
    const folder = mkdtempSync(join(tmpdir(), "kontor-ca-"));
    afterTests(() => rmSync(folder, { recursive: true }));
    const other = join(folder, "other.crt");
    writeFileSync(other, rootCertificates[0]!);
    for (const tls of ["verify-full", "verify-ca"] as const) {
      await refused(
        protectedBy(tls, other),
        /certificate of PostgreSQL at 127\.0\.0\.1:\d+ is signed by none of the authorities in .*other\.crt/,
      );
      await refused(protectedBy(tls), /signed by none of the authorities in Node\.js: name the right file with sslrootcert/);
    }
  });

  test("are refused when the certificate is issued for another host, unless only the authority is verified", async () => {
    const { host, port } = engine.connection;
    const proxy = createServer((near) => {
      const far = connect(port, host);
      near.pipe(far).pipe(near);
      near.on("error", () => far.destroy());
      far.on("error", () => near.destroy());
    });
    await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.2", resolve));
    afterTests(() => void proxy.close());
    const there = { host: "127.0.0.2", port: (proxy.address() as AddressInfo).port };
    await refused(
      { ...protectedBy("verify-full", engine.ca), ...there },
      /certificate of PostgreSQL at 127\.0\.0\.2:\d+ is made out to another host/,
    );
    const { database } = await openTestDatabase({ connection: { ...protectedBy("verify-ca", engine.ca), ...there } });
    await database.start();
  });

  test("are plain only where that is allowed: on this machine, or by sslmode=disable", async () => {
    const { database } = await openTestDatabase({ connection: protectedBy(undefined) });
    await database.start();
    assert.deepEqual(await sessions(), [false]);
  });
});
