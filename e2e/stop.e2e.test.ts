import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { rm } from "node:fs/promises";
import { createInterface } from "node:readline";
import { describe, it } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { eraseEmbeddedPostgres } from "@kontor/platform/database/embedded.ts";
import { afterTests } from "@kontor/platform/testing/postgres.ts";
import { testFolder } from "@kontor/platform/testing/server.ts";
import { freePorts } from "./free-ports.ts";
import { cleanEnv } from "./shop-process.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const command = fileURLToPath(new URL("../apps/kontor/main.ts", import.meta.url));

// On Windows a process cannot be sent SIGTERM.
if (process.platform !== "win32")
  describe("the shop and its PostgreSQL end", () => {
    for (const [when, text] of [
      ["is ready", '"message":"ready"'],
      ["is starting", "PostgreSQL runs"],
    ] as const) {
      it(`after SIGTERM to npm start when the shop ${when}`, async () => {
        await endsAfter("npm", ["start"], text, (npm) => npm.kill("SIGTERM"));
      });

      it(`after SIGTERM when it ${when}, with code 0`, async () => {
        assert.equal(await endsAfter(process.execPath, [command, "start"], text, (shop) => shop.kill("SIGTERM")), 0);
      });
    }

    it("when the reader of its output ends while it is starting, as with head", async () => {
      assert.equal(await endsAfter(process.execPath, [command, "start"], "PostgreSQL runs", ({ stdout }) => stdout?.destroy()), 0);
    });

    it("after SIGTERM to a cluster that is starting, with its processes", async () => {
      assert.equal(await endsAfter(process.execPath, [command, "cluster"], '"state":"starting"', (cluster) => cluster.kill("SIGTERM")), 0);
    });
  });

/** Starts a shop, ends it once it has printed the text, and gives the code of the process that was started when all have ended. */
async function endsAfter(program: string, args: readonly string[], text: string, end: (child: ChildProcess) => unknown) {
  const folder = await testFolder();
  afterTests(async () => {
    await eraseEmbeddedPostgres(folder);
    await rm(folder, { recursive: true, force: true });
  });
  const [port, mailbox, smtp, provider] = await freePorts(4);
  const child = spawn(program, args, {
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
    stdio: ["ignore", "pipe", "pipe"],
  });
  const exited = once(child, "exit");
  // Every process of the shop has the other end of it, and PostgreSQL has not.
  const ended = once(child.stderr, "close");
  child.stderr.pipe(process.stderr);
  let postgres = 0;
  const lines = createInterface({ input: child.stdout });
  await new Promise<void>((resolve) => {
    lines.on("line", (line) => {
      if (line.includes("PostgreSQL runs")) postgres = (JSON.parse(line) as { pid: number }).pid;
      if (line.includes(text)) resolve();
    });
    lines.on("close", resolve);
  });
  assert.ok(postgres > 0, "it did not start");
  end(child);
  await ended;
  await assert.rejects(fetch(`http://127.0.0.1:${port}/livez`), TypeError);
  for (const untilMs = performance.now() + 5_000; lives(postgres); await pause(20))
    assert.ok(performance.now() < untilMs, "PostgreSQL is still running");
  const [code] = (await exited) as [number | null];
  return code;
}

function lives(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
