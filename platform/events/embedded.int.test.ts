import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { append, eventsContract, recording } from "./events.contract.ts";
import { openTestApp } from "./open-test-app.ts";

eventsContract("embedded", () => openTestApp(), { crashes: Number(process.env["KONTOR_EVENT_CRASHES"] ?? 20) });

describe("events: embedded, the publisher in another process", () => {
  it("wakes by asking the publisher's log, which answers when there is something", async () => {
    const app = await openTestApp();
    const shop = await app.process();
    const far = await app.processBeyond(shop.rpc);
    const watching = await far.subscribe([recording("watch")], { pollMs: 600_000 });
    for (let version = 0; version < 3; version++) {
      await append(shop.publisher, shop.log, "a", version, 1);
      const passed = performance.now();
      while ((await watching.status())[0]?.applied !== version + 1) assert.ok(performance.now() - passed < 30_000);
    }
  });
});
