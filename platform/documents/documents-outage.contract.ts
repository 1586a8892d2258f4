import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { refusalIn } from "../errors/refusal.ts";
import type { Logger } from "../telemetry/logger.ts";
import { controlEngine } from "../testing/engines.ts";
import type { Collection, DocumentsServer } from "./documents.ts";
import { logLines } from "./test-log.ts";

interface Note {
  readonly text: string;
}

export interface OutageOptions {
  /** The process that is killed or frozen; one node of a cluster. */
  readonly process: string;
  /** With `timeoutMs` 500. */
  readonly open: (log: Logger) => DocumentsServer;
  readonly clean: () => Promise<void>;
  /** Whether the other nodes go on, and one takes over. */
  readonly cluster?: boolean;
  /** Before each test. */
  readonly prepare?: () => Promise<void>;
  /** Whether a confirmed write survives the process: not when the test's server holds everything in memory. */
  readonly durable?: boolean;
}

const ids = Array.from({ length: 20 }, (_, n) => `n${n}`);
const now = new Date();
/** A reply may take 500 ms; the rest is for a busy machine. */
const refusedWithinMs = 1_500;
const backWithinMs = 20_000;

/** What every server of documents must do while it is unreachable and afterwards: refuse soon, lose no confirmed write, reconnect by itself. */
export function documentsOutage(name: string, { process, open, clean, prepare, cluster = false, durable = false }: OutageOptions): void {
  describe(`documents: ${name}, outages`, () => {
    const { log, lines } = logLines();
    let documents: DocumentsServer;

    before(async () => {
      documents = open(log);
      await documents.start();
    });
    after(async () => {
      await controlEngine("start", process);
      await documents.stop();
      await clean();
    });

    for (const [how, begin, end] of [
      ["killed", "kill", "start"],
      ["frozen", "stop", "cont"],
    ] as const)
      it(`DAT-03: ${how}: refuses soon, then works again by itself`, async () => {
        await prepare?.();
        const notes = documents.collection<Note>(how);
        await readable(notes);
        const versions = new Map<string, number>();
        for (const id of ids) versions.set(id, await notes.put(id, { text: "1" }, { expectedVersion: 0 }));
        const writers = new AbortController();
        const writing = ids.map((id) => write(notes, id, versions, writers.signal));
        await controlEngine(begin, process);
        try {
          await refusal(notes);
          for (let round = 0; round < 5; round++)
            await Promise.all(
              ids.map(async (id) => {
                const beganMs = performance.now();
                await notes.get(id, now).catch((error: unknown) => assertUnavailable(error));
                const tookMs = performance.now() - beganMs;
                assert.ok(tookMs < refusedWithinMs, `${id} took ${tookMs} ms`);
              }),
            );
          if (cluster) await readable(notes);
        } finally {
          await controlEngine(end, process);
        }
        await readable(notes);
        writers.abort();
        await Promise.all(writing);
        for (const id of ids) {
          const found = await notes.get(id, now);
          if (durable) assert.ok((found?.version ?? 0) >= versions.get(id)!, `${id}: ${found?.version} of ${versions.get(id)}`);
          assert.equal(found?.body.text, String(found?.version), "each version is what its writer wrote");
        }
        const logged = lines.splice(0).filter((line) => line.includes("is unreachable"));
        // Of a cluster's node nothing more is logged for some seconds after its last late reply.
        assert.ok(
          logged.length >= (cluster && how === "frozen" ? 0 : 1) && logged.length <= 4,
          `logged ${logged.length} times: ${logged.join("\n")}`,
        );
      });
  });
}

/** Writes one document again and again, its version for text; after a refusal it reads whether the write has happened. */
async function write(notes: Collection<Note>, id: string, versions: Map<string, number>, signal: AbortSignal): Promise<void> {
  while (!signal.aborted)
    try {
      const version = (await notes.get(id, now))?.version ?? 0;
      const written = await notes.put(id, { text: String(version + 1) }, { expectedVersion: version });
      versions.set(id, Math.max(written, versions.get(id)!));
    } catch (error) {
      assertUnavailable(error);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
}

function assertUnavailable(error: unknown): void {
  assert.deepEqual([refusalIn(error)?.reason, refusalIn(error)?.code], ["DEPENDENCY_UNAVAILABLE", "unavailable"], String(error));
}

async function refusal(notes: Collection<Note>): Promise<void> {
  for (;;) {
    const all = await Promise.allSettled(ids.map((id) => notes.get(id, now)));
    if (all.some(({ status }) => status === "rejected")) return;
  }
}

/** Resolves when every document can be read. */
async function readable(notes: Collection<Note>): Promise<void> {
  const untilMs = performance.now() + backWithinMs;
  for (;;) {
    const all = await Promise.allSettled(ids.map((id) => notes.get(id, now)));
    if (all.every(({ status }) => status === "fulfilled")) return;
    assert.ok(performance.now() < untilMs, `still unreachable after ${backWithinMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
