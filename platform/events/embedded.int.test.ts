import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { append, recording } from "./test-subscriptions.ts";
import { eventsContract } from "./events.contract.ts";
import { openTestInstallation } from "./open-test-installation.ts";

eventsContract("embedded", () => openTestInstallation(), { crashes: Number(process.env["KONTOR_EVENT_CRASHES"] ?? 20) });

describe("events: embedded, with the publisher in another process", () => {
  it("is woken by long polling of the publisher's log, which responds when there are events", async () => {
    const installation = await openTestInstallation();
    const shop = await installation.process();
    const remote = await installation.remoteProcess(shop.rpc);
    const watching = await remote.subscribe([recording("watch")], { pollMs: 600_000 });
    for (let version = 0; version < 3; version++) {
      await append(shop.publisher, shop.log, "a", version, 1);
      const passed = performance.now();
      while ((await watching.status())[0]?.applied !== version + 1) assert.ok(performance.now() - passed < 30_000);
    }
  });
});
