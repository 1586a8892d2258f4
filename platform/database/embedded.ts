import { readFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import type { Logger } from "../telemetry/logger.ts";
import type { Connection } from "./connection.ts";
import { binariesPackage, findBinaries, type PostgresBinaries } from "./embedded-binaries.ts";
import { explain, explainFile, failureIn } from "./embedded-failure.ts";
import { dataIn, openHome, removeHome, type Home } from "./embedded-home.ts";
import { alive, disownPidFile, readPidFile, replaceFile, servesFolder } from "./embedded-pid.ts";
import { becomeReady, launch, logFile, shortenLog, socketFolder, stopServer, watch, type Server } from "./embedded-server.ts";
import type { Settings } from "./embedded-settings.ts";
import { otherUserWhenRoot } from "./embedded-user.ts";

export interface EmbeddedPostgresOptions {
  /** The shop's data folder. Made when it does not exist. */
  readonly folder: string;
  readonly log: Logger;
  /** PostgreSQL settings over the defaults. They do not change a server that is adopted. */
  readonly settings?: Settings;
  /** The npm package with the binaries; by default the one for this machine. */
  readonly binaries?: string;
  /** The port it must have. By default one that is free, the same as last time where possible. */
  readonly port?: number;
  /** Called once when the server ends without `stop` having been called. */
  readonly died?: (error: Error) => void;
}

/** A running PostgreSQL of the shop's own. */
export interface EmbeddedPostgres {
  /** Connects by the unix socket where there is one. */
  readonly superuser: Connection;
  readonly port: number;
  readonly logFile: string;
  /** Whether it was running already: left by a shop that was killed, or in use by one that runs. */
  readonly adopted: boolean;
  /** Ends its sessions, flushes all data and waits until it has ended. Repeating it is fine. */
  stop(): Promise<void>;
  /** Leaves it running, for the shop that it belongs to, and does not report its end any more. Repeating it is fine. */
  leave(): void;
}

const startTimeoutMs = 60_000;
const stopTimeoutMs = 60_000;

/**
 * Starts the PostgreSQL of a shop's folder, made on the first start, or takes over the one that runs there: it outlives a killed shop.
 * Throws an error that says what to do when the folder, the disk, the port or the data cannot be used.
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const binaries = await findBinaries(options.binaries ?? binariesPackage, await otherUserWhenRoot());
  const home = await openHome(options.folder, binaries);
  try {
    const found = await findOrLaunch(options, binaries, home);
    await checkPassword(superuser(home, found.server), home);
    return running(options, binaries, home, found);
  } catch (error) {
    throw explainFile(error, home.path);
  }
}

/** Deletes the PostgreSQL of a shop's folder for good, with all data. Ends it first where it still runs. */
export async function eraseEmbeddedPostgres(folder: string): Promise<void> {
  const data = await dataIn(folder);
  const there = data === undefined ? undefined : await readPidFile(data);
  if (data !== undefined && there !== undefined && !(await stopServer(there, data, stopTimeoutMs)))
    throw new Error(`PostgreSQL (process ${there.pid}) works on ${data} and does not end: end it, then try again.`);
  await removeHome(folder);
}

interface Found {
  readonly server: Server;
  readonly adopted: boolean;
}

async function findOrLaunch(options: EmbeddedPostgresOptions, binaries: PostgresBinaries, home: Home): Promise<Found> {
  const deadline = Date.now() + startTimeoutMs;
  const portFile = join(home.path, "port");
  for (let preferred = Number(await readFile(portFile, "utf8").catch(() => "0")); ;) {
    const there = await readPidFile(home.data);
    if (there !== undefined && (await servesFolder(there.pid, home.data))) {
      const server = await becomeReady(home, there, deadline);
      if (server !== undefined) return { server, adopted: true };
    } else if (there !== undefined && (await alive(there.pid))) await disownPidFile(home.data);
    const port = options.port ?? (await freePort(preferred));
    const launched = await launch(home, binaries, { port, settings: options.settings ?? {}, deadline });
    if ("pid" in launched) {
      await replaceFile(portFile, String(launched.port));
      return { server: launched, adopted: false };
    }
    const failure = failureIn(launched.lines);
    if (failure === "port taken" && options.port !== undefined)
      throw new Error(`Port ${options.port}, which PostgreSQL was to use, is taken by another program: free it or choose another one.`);
    // Another start may be a moment ahead, or orphans of a killed server are still ending.
    const passing = failure === "already running" || failure === "port taken";
    if (!passing || Date.now() > deadline) throw explain(failure, home.path, launched.lines);
    if (failure === "port taken") preferred = 0;
    await sleep(100);
  }
}

function running(options: EmbeddedPostgresOptions, binaries: PostgresBinaries, home: Home, { server, adopted }: Found): EmbeddedPostgres {
  const { log, died } = options;
  const fields = { pid: server.pid, port: server.port, version: binaries.version };
  log.info(fields, adopted ? "PostgreSQL was running and is taken over" : "PostgreSQL runs");
  const unwatch = watch(server, () => {
    clearInterval(rotation);
    const error = new Error(`PostgreSQL (process ${server.pid}) has ended unexpectedly; see ${logFile(home)}`);
    log.error({ ...fields, error }, "PostgreSQL has ended");
    died?.(error);
  });
  const rotation = setInterval(() => {
    shortenLog(home).catch((error: unknown) => log.warn({ error }, "PostgreSQL's log could not be cut"));
  }, 60_000).unref();
  let stopped: Promise<void> | undefined;
  const leave = (): void => {
    unwatch();
    clearInterval(rotation);
  };
  const stop = async (): Promise<void> => {
    leave();
    if (!(await stopServer(server, home.data, stopTimeoutMs, binaries.pgCtl)))
      throw new Error(`PostgreSQL (process ${server.pid}) does not end; see ${logFile(home)}`);
    log.info(fields, "PostgreSQL has stopped");
  };
  return {
    superuser: superuser(home, server),
    port: server.port,
    logFile: logFile(home),
    adopted,
    stop: () => (stopped ??= stop()),
    leave,
  };
}

function superuser(home: Home, { port }: Server): Connection {
  return { host: socketFolder(home) ?? "127.0.0.1", port, user: "postgres", password: home.password, database: "postgres" };
}

/** Throws when the server does not accept the stored password. */
async function checkPassword(connection: Connection, home: Home): Promise<void> {
  const client = new pg.Client({ ...connection, connectionTimeoutMillis: 10_000 });
  client.on("error", () => undefined);
  try {
    await client.connect();
    await client.end();
  } catch (cause) {
    throw new Error(
      `The PostgreSQL that works on ${home.data} does not accept the password in ${home.path}/password. Stop it, or restore that file.`,
      { cause },
    );
  }
}

/** The preferred port when it is free, or else any free one. */
async function freePort(preferred: number): Promise<number> {
  const free = (port: number): Promise<number | undefined> =>
    new Promise((resolve, reject) => {
      const server = createServer();
      server.once("error", (error: NodeJS.ErrnoException) => (port === 0 ? reject(error) : resolve(undefined)));
      server.listen({ host: "127.0.0.1", port, exclusive: true }, () => {
        const address = server.address();
        server.close(() => resolve(typeof address === "object" && address !== null ? address.port : undefined));
      });
    });
  const port = (preferred > 0 && preferred < 65_536 ? await free(preferred) : undefined) ?? (await free(0));
  if (port === undefined) throw new Error("no free port on 127.0.0.1");
  return port;
}
