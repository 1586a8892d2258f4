import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { assertExactlyOnce, countFrom, effectsOf, quick, recording } from "../test-subscriptions.ts";
import { openTestKafka } from "./open-test-kafka.ts";
import type { ChildTask } from "./test-kafka-crash.ts";

describe("events: a process that dies, on Kafka", () => {
  const moments = ["after commit", "after publishing", "after handling", "any time"] as const;
  it("MSG-09, I8, I9: kill -9 between commit and publishing, and between handling and the checkpoint, loses no event and applies none twice", async () => {
    const { installation, kafka } = await openTestKafka(3);
    for (let crash = 0; crash < countFrom("KONTOR_EVENT_KILLS", 4); crash++) {
      const dies = moments[crash % moments.length]!;
      const after = 1 + Math.floor(Math.random() * 25);
      await childThatDies({ kafka, connections: installation.connections, writer: `w${crash}`, dies, after });
    }
    const survivor = await installation.process();
    const watching = await survivor.subscribe([recording("watch")], quick);
    await watching.caughtUp();
    await assertExactlyOnce(survivor.publisher, survivor.subscriber, "watch");
    assert.ok((await effectsOf(survivor.subscriber)).length > 0);
  });
});

/** Runs a child process until it is dead: it kills itself, or is killed shortly after it began to work. */
async function childThatDies(task: ChildTask): Promise<void> {
  const file = new URL("test-kafka-crash.ts", import.meta.url);
  const child = spawn(process.execPath, [fileURLToPath(file), JSON.stringify(task)], { stdio: ["ignore", "pipe", "inherit"] });
  const dead = once(child, "exit");
  if (task.dies === "any time") {
    await Promise.race([once(child.stdout, "data"), dead]);
    await sleep(Math.random() * 300);
    child.kill("SIGKILL");
  }
  assert.deepEqual(await dead, [null, "SIGKILL"]);
}
