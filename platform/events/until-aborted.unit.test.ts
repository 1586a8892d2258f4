import assert from "node:assert/strict";
import { it } from "node:test";
import { untilAborted } from "./until-aborted.ts";

it("work is waited for until the signal is aborted", async () => {
  const stopping = new AbortController();
  const never = new Promise<never>(() => undefined);
  assert.equal(await untilAborted(Promise.resolve(1), stopping.signal), 1);
  await assert.rejects(untilAborted(Promise.reject(new Error("failed")), stopping.signal), /failed/);
  const waiting = untilAborted(never, stopping.signal);
  stopping.abort(new Error("stopped"));
  await assert.rejects(waiting, /stopped/);
  await assert.rejects(untilAborted(never, stopping.signal), /stopped/);
});
