import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { rm } from "node:fs/promises";
import { createInterface } from "node:readline";
import { it } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { eraseEmbeddedPostgres } from "@kontor/platform/database/embedded.ts";
import { afterTests } from "@kontor/platform/testing/postgres.ts";
import { testFolder } from "@kontor/platform/testing/server.ts";
import { freePorts } from "./free-ports.ts";
import { cleanEnv } from "./shop-process.ts";

const root = fileURLToPath(new URL("..", import.meta.url));

// On Windows a process cannot be sent SIGTERM.
it("SIGTERM to npm start ends the shop and its PostgreSQL", { skip: process.platform === "win32" }, async () => {
  const folder = await testFolder();
  afterTests(async () => {
    await eraseEmbeddedPostgres(folder);
    await rm(folder, { recursive: true, force: true });
  });
  const [port, mailbox, smtp, provider] = await freePorts(4);
  const npm = spawn("npm", ["start"], {
    cwd: root,
    env: cleanEnv({
      KONTOR_DATA: folder,
      KONTOR_PORT: String(port),
      KONTOR_MAILBOX_PORT: String(mailbox),
      KONTOR_SMTP_PORT: String(smtp),
      KONTOR_PROVIDER_PORT: String(provider),
      KONTOR_LOG_FORMAT: "json",
      KONTOR_SEED: "none",
    }),
    stdio: ["ignore", "pipe", "inherit"],
  });
  let postgres = 0;
  for await (const line of createInterface({ input: npm.stdout })) {
    if (line.includes("PostgreSQL runs")) postgres = (JSON.parse(line) as { pid: number }).pid;
    if (line.includes('"message":"ready"')) break;
  }
  assert.ok(postgres > 0, "it did not start");
  npm.stdout.resume();
  const closed = once(npm.stdout, "close"); // the shop has the other end of it
  npm.kill("SIGTERM");
  await closed;
  await assert.rejects(fetch(`http://127.0.0.1:${port}/livez`), TypeError);
  for (const untilMs = performance.now() + 5_000; lives(postgres); await pause(20))
    assert.ok(performance.now() < untilMs, "PostgreSQL is still running");
});

function lives(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
