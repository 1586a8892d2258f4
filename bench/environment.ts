import { chmodSync, mkdtempSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise<ReturnType<typeof createServer>>((resolve) => {
          const server = createServer().listen(0, "127.0.0.1", () => resolve(server));
        }),
    ),
  );
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

export function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "kontor-bench-"));
  chmodSync(folder, 0o711);
  return folder;
}

/** The environment of every shop of a bench, and ports for those that need more. */
export async function environment(folder: string) {
  const [port, mailbox, smtp, provider, rpcPort] = await freePorts(5);
  return {
    KONTOR_DATA: folder,
    KONTOR_SEED: "none",
    KONTOR_PORT: String(port),
    KONTOR_MAILBOX_PORT: String(mailbox),
    KONTOR_SMTP_PORT: String(smtp),
    KONTOR_PROVIDER_PORT: String(provider),
    KONTOR_LOG_LEVEL: "warn",
    KONTOR_LOG_FORMAT: "json",
    rpcPort: rpcPort!,
    // A cluster takes as many in a row as it has processes.
    opsPort: 10_000 + Math.floor(Math.random() * 1_900),
  };
}

/** This process's variables for a process that it starts, so that a setting can be measured; without those that a test runner has for itself. */
export function inherited(): NodeJS.ProcessEnv {
  const { KONTOR_TEST_PROCESSES: _, NODE_TEST_CONTEXT: __, ...env } = process.env;
  return env;
}

/** The pid of the PostgreSQL that runs on a folder. */
export function postmasterOf(folder: string): number {
  const found = ["postgres", "data", "postgres/data", "pgdata"].map((name) => join(folder, name, "postmaster.pid"));
  for (const file of found)
    try {
      return Number(readFileSync(file, "utf8").split("\n")[0]);
    } catch (error) {
      if (!(error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR"))) throw error;
    }
  throw new Error(`there is no running PostgreSQL in ${folder}`);
}
