import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import pg from "pg";
import type { Logger } from "../telemetry/logger.ts";
import type { Connection } from "./connection.ts";
import { complete } from "./embedded-binaries.ts";
import { dataIn } from "./embedded-home.ts";
import { readPidFile } from "./embedded-pid.ts";
import { eraseEmbeddedPostgres, startEmbeddedPostgres, type EmbeddedPostgres, type EmbeddedPostgresOptions } from "./embedded.ts";
import { acquireInstallationLock } from "./installation-lock.ts";

let root: string;
/** The shop that most tests use, one after the other, each leaving it stopped. */
let shop: string;

before(async () => {
  root = await mkdtemp(join(tmpdir(), "kontor-embedded-"));
  // As root, another user must pass through it.
  await chmod(root, 0o711);
  shop = join(root, "shop");
});

after(async () => {
  for (const name of await readdir(root)) await eraseEmbeddedPostgres(join(root, name));
  await rm(root, { recursive: true, force: true, maxRetries: 3 });
});

test("the first start makes a server that keeps its data, its port and its safety over a restart", async () => {
  await mkdir(join(shop, "postgres.new-2147483646-dead", "data"), { recursive: true });
  const first = await start(shop);
  assert.equal(first.adopted, false);
  await rows(first.superuser, "create table kept (name text); insert into kept values ('a')");
  await first.stop();
  await first.stop();
  await assert.rejects(rows(first.superuser, "select 1"));

  const second = await start(shop);
  assert.deepEqual(second.superuser, first.superuser);
  assert.deepEqual(await rows(second.superuser, "select name from kept"), [{ name: "a" }]);
  const [safety] = await rows(
    { ...second.superuser, host: "127.0.0.1" },
    "select current_setting('fsync') as fsync, current_setting('full_page_writes') as pages, current_setting('synchronous_commit') as commit",
  );
  assert.deepEqual(safety, { fsync: "on", pages: "on", commit: "on" });
  await second.stop();
  assert.deepEqual(await readdir(shop), ["postgres"], "what a killed first start has left is removed");
  assert.equal((await stat(join(shop, "postgres", "password"))).mode & 0o777, 0o600);
});

test("a server that outlives a killed shop is taken over", async () => {
  const source = `
    import { startEmbeddedPostgres } from ${JSON.stringify(new URL("./embedded.ts", import.meta.url).href)};
    const log = { debug() {}, info() {}, warn() {}, error() {}, child: () => log };
    await startEmbeddedPostgres({ folder: ${JSON.stringify(shop)}, log });
    console.log("ready");
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", source], { stdio: ["ignore", "pipe", "inherit"] });
  await once(child.stdout, "data");
  child.kill("SIGKILL");
  await once(child, "exit");
  const server = await start(shop);
  assert.equal(server.adopted, true);
  assert.deepEqual(await rows(server.superuser, "select name from kept"), [{ name: "a" }]);
  await server.stop();
  await assert.rejects(rows(server.superuser, "select 1"));
});

test("its end is reported, and neither its lock file nor a process that got its number blocks the next start", async () => {
  const ended = Promise.withResolvers<Error>();
  const server = await start(shop, { died: ended.resolve });
  const { pid } = await pidFile();
  process.kill(pid, "SIGKILL");
  assert.match((await ended.promise).message, new RegExp(`process ${pid}.*has ended`));

  const afterCrash = await start(shop);
  assert.equal(afterCrash.adopted, false);
  assert.equal(afterCrash.port, server.port);
  process.kill((await pidFile()).pid, "SIGKILL");
  // The lock file stays; say that its number is ours now.
  const path = join((await dataIn(shop))!, "postmaster.pid");
  await writeFile(path, (await readFile(path, "utf8")).replace(/^\d+/, String(process.pid)));
  const again = await start(shop);
  assert.equal(again.adopted, false);
  assert.deepEqual(await rows(again.superuser, "select name from kept"), [{ name: "a" }]);
  await again.stop();
});

test("the end of a server that was taken over is reported too", async () => {
  const first = await start(shop);
  const ended = Promise.withResolvers<Error>();
  const second = await start(shop, { died: ended.resolve });
  assert.equal(second.adopted, true);
  await first.stop();
  await ended.promise;
  await second.stop();
});

test("a second shop on the same data is refused until the first has released its lock or has ended", async () => {
  const server = await start(shop);
  const first = await acquireInstallationLock(server.superuser);
  assert.ok(first !== undefined);
  assert.equal(await acquireInstallationLock(server.superuser), undefined);
  await first.release();
  await first.release();
  const lost = Promise.withResolvers<Error>();
  const second = await acquireInstallationLock(server.superuser, lost.resolve);
  assert.ok(second !== undefined);
  await rows(server.superuser, "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory'");
  await lost.promise;
  const third = await acquireInstallationLock(server.superuser);
  assert.ok(third !== undefined);
  await third.release();
  await server.stop();
});

test("two starts at once on a new folder share one server", async () => {
  const folder = join(root, "two");
  const both = await Promise.all([start(folder), start(folder)]);
  assert.equal(both.filter(({ adopted }) => adopted).length, 1);
  assert.deepEqual(both[0].superuser, both[1].superuser);
  for (const server of both) await server.stop();
  assert.deepEqual(await readdir(folder), ["postgres"]);
});

test("a required port that is taken stops the start; one that is only preferred does not", async () => {
  const other = createServer().listen(0, "127.0.0.1");
  await once(other, "listening");
  const address = other.address();
  assert.ok(typeof address === "object" && address !== null);
  await assert.rejects(start(shop, { port: address.port }), new RegExp(`Port ${address.port}.*is taken`));
  await writeFile(join(shop, "postgres", "port"), String(address.port));
  const server = await start(shop);
  assert.notEqual(server.port, address.port);
  await server.stop();
  other.close();
});

test("a folder that cannot be created stops the start with its name", async () => {
  const file = join(root, "file");
  await writeFile(file, "");
  await assert.rejects(start(join(file, "shop")), /file\/shop cannot be used as a folder/);
  await rm(file);
});

test("data of another version, or damaged, stops the start with what to do", async () => {
  const data = (await dataIn(shop))!;
  await writeFile(join(data, "PG_VERSION"), "17\n");
  await assert.rejects(start(shop), /made by another version[^]*made by PostgreSQL 17, this is PostgreSQL 18/);
  await writeFile(join(data, "PG_VERSION"), "18\n");
  await rename(join(data, "global", "pg_control"), join(data, "global", "pg_control.away"));
  await assert.rejects(start(shop), /Restore a backup, or start over with kontor reset[^]*pg_control/);
  await rename(join(data, "global", "pg_control.away"), join(data, "global", "pg_control"));
  await (await start(shop)).stop();
});

// Only root has users that cannot pass: an ordinary user runs it as itself.
if (process.getuid?.() === 0)
  test("as root, data in a folder that is closed to others is stored where PostgreSQL's user can read it", async () => {
    const closed = join(root, "closed");
    await mkdir(closed, { mode: 0o700 });
    const folder = join(closed, "shop");
    const server = await start(folder, { settings: { fsync: false } });
    await server.stop();
    const data = (await dataIn(folder))!;
    assert.ok(!data.startsWith(root));
    assert.notEqual((await stat(data)).uid, 0);
    assert.equal((await stat(closed)).mode & 0o777, 0o700);
    const again = await start(folder);
    await eraseEmbeddedPostgres(folder);
    await assert.rejects(rows(again.superuser, "select 1"));
    await assert.rejects(stat(data), { code: "ENOENT" });
  });

test("library links that npm's install script has not made are created", async () => {
  const native = join(root, "package", "native");
  for (const folder of ["bin", "lib"]) await mkdir(join(native, folder), { recursive: true });
  for (const file of ["bin/initdb", "bin/pg_ctl", "bin/postgres", "lib/libpq.so.5.18"])
    await writeFile(join(native, file), file, { mode: 0o644 });
  await writeFile(
    join(native, "pg-symlinks.json"),
    JSON.stringify([{ source: "native/lib/libpq.so.5.18", target: "native/lib/libpq.so.5" }]),
  );
  for (const _ of [1, 2]) assert.equal(await complete(join(root, "package")), true);
  assert.equal(await readFile(join(native, "lib", "libpq.so.5"), "utf8"), "lib/libpq.so.5.18");
  assert.equal((await stat(join(native, "bin", "postgres"))).mode & 0o111, 0o111);
});

async function start(folder: string, options: Partial<EmbeddedPostgresOptions> = {}): Promise<EmbeddedPostgres> {
  return startEmbeddedPostgres({ folder, log: quiet, ...options });
}

async function pidFile(): Promise<{ pid: number }> {
  const file = await readPidFile((await dataIn(shop))!);
  assert.ok(file !== undefined);
  return file;
}

async function rows(connection: Connection, statement: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ ...connection });
  // Servers and sessions are killed here; the query under way fails too.
  client.on("error", () => undefined);
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(statement)).rows;
  } finally {
    await client.end();
  }
}

const quiet: Logger = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined, child: () => quiet };
