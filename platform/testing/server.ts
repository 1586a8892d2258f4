import { chmod, mkdtemp, readdir, rm, statfs } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { connectionUrl } from "../database/connection.ts";
import { eraseEmbeddedPostgres, startEmbeddedPostgres } from "../database/embedded.ts";
import { alive } from "../database/embedded-pid.ts";
import { extensions } from "../database/provision.ts";
import type { Logger } from "../telemetry/logger.ts";
import { testTemplate } from "./names.ts";

/** The PostgreSQL of one test run. */
export interface TestServer {
  /** A superuser's URL, for `KONTOR_TEST_POSTGRES`. */
  readonly url: string;
  /** Stops it and deletes its data. Safe to repeat. */
  stop(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

const prefix = "kontor-test-";
const memory = "/dev/shm";

/**
 * Starts a PostgreSQL for tests in a temporary folder, fast because it is unsafe: a crash loses it. With `binaries`, another version's.
 * Also deletes what killed runs have left.
 */
export async function startTestServer(options: { readonly binaries?: string } = {}): Promise<TestServer> {
  await removeLeftovers();
  const folder = await testFolder();
  try {
    const server = await startEmbeddedPostgres({
      ...options,
      folder,
      log: quiet,
      settings: {
        fsync: false,
        synchronous_commit: false,
        full_page_writes: false,
        checkpoint_timeout: "1h",
        max_connections: 300,
        shared_buffers: "128MB",
      },
    });
    const url = connectionUrl({ ...server.superuser, host: "127.0.0.1" });
    await prepareTestServer(url);
    let stopped: Promise<void> | undefined;
    const stop = async (): Promise<void> => {
      await server.stop();
      await rm(folder, { recursive: true, force: true });
    };
    const stopOnce = () => (stopped ??= stop());
    return { url, stop: stopOnce, [Symbol.asyncDispose]: stopOnce };
  } catch (error) {
    await eraseEmbeddedPostgres(folder);
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

/** Creates the template of the test databases on a server, with the extensions that services have. */
export async function prepareTestServer(url: string): Promise<void> {
  const server = new pg.Client({ connectionString: url });
  await server.connect();
  try {
    await server.query(`drop database if exists ${testTemplate}`);
    await server.query(`create database ${testTemplate} encoding 'UTF8' template template0`);
  } finally {
    await server.end();
  }
  const at = new URL(url);
  at.pathname = `/${testTemplate}`;
  const template = new pg.Client({ connectionString: at.href });
  await template.connect();
  try {
    await template.query(extensions.map((name) => `create extension ${name};`).join("\n"));
  } finally {
    await template.end();
  }
}

/** Creates a folder for a PostgreSQL. When a test process leaves it behind, a later run deletes it. */
export async function testFolder(): Promise<string> {
  const folder = await mkdtemp(join(await fastFolder(), `${prefix}${process.pid}-`));
  // mkdtemp closes it to others; as root, PostgreSQL runs as one of them.
  await chmod(folder, 0o711);
  return folder;
}

/** Memory where there is plenty of it as a file system: a database is made in 7 ms there, against 50 and more on a disk. */
async function fastFolder(): Promise<string> {
  const { bavail, bsize } =
    process.platform === "linux" ? await statfs(memory).catch(() => ({ bavail: 0, bsize: 0 })) : { bavail: 0, bsize: 0 };
  return bavail * bsize > 4 * 1024 ** 3 ? memory : tmpdir();
}

async function removeLeftovers(): Promise<void> {
  for (const parent of process.platform === "linux" ? [tmpdir(), memory] : [tmpdir()])
    for (const name of await readdir(parent)) {
      const pid = name.startsWith(prefix) ? Number(/^\d+/.exec(name.slice(prefix.length))?.[0]) : Number.NaN;
      if (Number.isNaN(pid) || (await alive(pid))) continue;
      const folder = join(parent, name);
      // Another run may be deleting the same one, or it may be another user's.
      await eraseEmbeddedPostgres(folder)
        .then(() => rm(folder, { recursive: true, force: true }))
        .catch((error: unknown) => console.error(`${folder}, left by an earlier run, could not be deleted:`, error));
    }
}

const quiet: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: (fields, message) => console.warn(message, fields),
  error: (fields, message) => console.error(message, fields),
  child: () => quiet,
};
