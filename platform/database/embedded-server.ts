import { execFile, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { copyFile, open, stat, truncate } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import type { PostgresBinaries } from "./embedded-binaries.ts";
import { explainSpawn, linesSince } from "./embedded-failure.ts";
import { cleanEnvironment, type Home } from "./embedded-home.ts";
import { alive, readPidFile, replaceFile, servesFolder } from "./embedded-pid.ts";
import { accessFile, settingsFile, type Settings } from "./embedded-settings.ts";

const run = promisify(execFile);
const logBytesMax = 16 * 1024 * 1024;

/** A PostgreSQL process: one that this process started, or with no `child` one that was running already. */
export interface Server {
  readonly pid: number;
  readonly port: number;
  readonly child?: ChildProcess;
}

/** Starts a server on a home's data. Gives it when it accepts connections, or the lines it wrote when it ends before. */
export async function launch(
  home: Home,
  binaries: PostgresBinaries,
  options: { readonly port: number; readonly settings: Settings; readonly deadline: number },
): Promise<Server | { readonly lines: string }> {
  const address: Settings = {
    listen_addresses: "127.0.0.1",
    port: options.port,
    unix_socket_directories: socketFolder(home) ?? "",
    unix_socket_permissions: "0700",
  };
  await replaceFile(join(home.data, "postgresql.conf"), settingsFile(binaries.major, address, options.settings), home.user);
  await replaceFile(join(home.data, "pg_hba.conf"), accessFile, home.user);
  await shortenLog(home);
  const log = await open(logFile(home), "a", 0o600);
  try {
    const start = (await log.stat()).size;
    const server = await (process.platform === "win32" ? throughPgCtl(home, binaries) : directly(home, binaries, log.fd));
    const ready = server === undefined ? undefined : await becomeReady(home, server, options.deadline);
    return ready ?? { lines: await linesSince(logFile(home), start) };
  } finally {
    await log.close();
  }
}

async function directly(home: Home, binaries: PostgresBinaries, log: number): Promise<Server> {
  // In a session of its own, so that the terminal's Ctrl-C ends the shop and not its database.
  const start = async (): Promise<ChildProcess> => {
    const child = spawn(binaries.postgres, ["-D", home.data], {
      detached: true,
      stdio: ["ignore", log, log],
      env: cleanEnvironment,
      cwd: "/",
      ...(home.user === undefined ? {} : { uid: home.user.uid, gid: home.user.gid }),
    });
    await once(child, "spawn");
    return child;
  };
  // Some errors are thrown, others are events.
  const child = await start().catch((error: unknown) => {
    throw explainSpawn(error, binaries.postgres, home.user?.name);
  });
  child.unref();
  return { pid: child.pid ?? 0, port: 0, child };
}

/** Windows: only pg_ctl drops an administrator's rights, with which PostgreSQL does not run. */
async function throughPgCtl(home: Home, binaries: PostgresBinaries): Promise<Server | undefined> {
  const started = await run(binaries.pgCtl, ["start", "-W", "-D", home.data, "-l", logFile(home)], { env: cleanEnvironment }).then(
    () => true,
    () => false,
  );
  for (let tries = 0; started && tries < 100; tries++) {
    const there = await readPidFile(home.data);
    if (there !== undefined && (await alive(there.pid))) return { pid: there.pid, port: there.port };
    await sleep(50);
  }
  return undefined;
}

/** Waits until a server accepts connections; undefined when it ends instead. Throws when it does neither in time: recovery may be long. */
export async function becomeReady(
  home: Home,
  server: { readonly pid: number; readonly child?: ChildProcess },
  deadline: number,
): Promise<Server | undefined> {
  for (;;) {
    const there = await readPidFile(home.data);
    if (there?.pid === server.pid && there.ready) return { ...server, port: there.port };
    if (server.child === undefined ? !(await alive(server.pid)) : server.child.exitCode !== null || server.child.signalCode !== null)
      return undefined;
    if (Date.now() > deadline)
      throw new Error(
        `PostgreSQL (process ${server.pid}) is still not ready; it may be recovering. See ${logFile(home)}, and start again.`,
      );
    await sleep(10);
  }
}

/** Ends the server of a data folder: it rolls back open transactions and flushes all data. False when it has not ended in time. */
export async function stopServer(server: { readonly pid: number }, data: string, timeoutMs: number, pgCtl?: string): Promise<boolean> {
  // Its number may be another program's by now.
  if (!(await servesFolder(server.pid, data))) return true;
  // Windows knows no SIGINT for others.
  if (process.platform === "win32" && pgCtl !== undefined)
    await run(pgCtl, ["stop", "-W", "-m", "fast", "-D", data], { env: cleanEnvironment });
  else process.kill(server.pid, "SIGINT");
  const deadline = Date.now() + timeoutMs;
  while (await alive(server.pid)) {
    if (Date.now() > deadline) return false;
    await sleep(10);
  }
  return true;
}

/** Calls `ended` once when the server's process ends. Gives a function that stops watching. */
export function watch(server: Server, ended: () => void): () => void {
  if (server.child !== undefined) {
    const { child } = server;
    child.once("exit", ended);
    return () => child.off("exit", ended);
  }
  const timer = setInterval(() => {
    void alive(server.pid).then((yes) => {
      if (yes || over) return;
      end();
      ended();
    });
  }, 500).unref();
  let over = false;
  const end = (): void => {
    over = true;
    clearInterval(timer);
  };
  return end;
}

/** Keeps the log's size bounded while the shop runs. The server appends, so cutting the file under it is safe. */
export async function shortenLog(home: Home): Promise<void> {
  const path = logFile(home);
  const { size } = await stat(path).catch(() => ({ size: 0 }));
  if (size < logBytesMax) return;
  await copyFile(path, `${path}.1`);
  await truncate(path);
}

/** The folder of the server's unix socket; undefined where there are none or its path would be too long. */
export function socketFolder(home: Home): string | undefined {
  return process.platform === "win32" || Buffer.byteLength(join(home.data, ".s.PGSQL.65535")) >= 100 ? undefined : home.data;
}

/** Where a home's server writes its log. */
export function logFile(home: Home): string {
  return join(home.path, "postgres.log");
}
