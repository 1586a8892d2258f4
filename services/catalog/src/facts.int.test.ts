import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { logHead } from "@kontor/platform/events/log/log-facts.ts";
import { catalogFacts } from "./facts.ts";
import { openCatalog } from "./test-catalog.ts";

describe("catalog: facts", () => {
  it("say what is copied of the stock figures, and up to which position of inventory's log", async () => {
    const app = await openCatalog();
    const facts = catalogFacts.from(app.hosted.database);
    await app.publishStock({ sku: "A", available: 5, version: 3 });
    await app.settle();
    assert.deepEqual(await facts.copiedSkus("", 10), [{ id: "A" }]);
    assert.deepEqual(await facts.copiedSkus("A", 10), []);
    const head = await logHead(app.services.get("inventory")!.database);
    assert.deepEqual(
      (await facts.availability(["A", "B"])).toSorted((a, b) => a.stream.localeCompare(b.stream)),
      [
        { stream: "A", ...head, parked: false, copied: true, available: 5, version: 3 },
        { stream: "B", ...head, parked: false, copied: false, available: 0, version: 0 },
      ],
    );
  });
});
