import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { append, eventsContract, recording } from "./events.contract.ts";
import { openTestHouse } from "./open-test-house.ts";

eventsContract("embedded", () => openTestHouse(), { crashes: Number(process.env["KONTOR_EVENT_CRASHES"] ?? 20) });

describe("events: embedded, the publisher in another process", () => {
  it("wakes by asking the publisher's log, which answers when there is something", async () => {
    const house = await openTestHouse();
    const shop = await house.process();
    const far = await house.processBeyond(shop.rpc);
    const watching = await far.subscribe([recording("watch")], { pollMs: 600_000 });
    for (let version = 0; version < 3; version++) {
      await append(shop.publisher, shop.log, "a", version, 1);
      const passed = performance.now();
      while ((await watching.status())[0]?.applied !== version + 1) assert.ok(performance.now() - passed < 30_000);
    }
  });
});
