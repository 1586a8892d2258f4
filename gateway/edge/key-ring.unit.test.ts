import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { generateKeyPair } from "jose";
import { refusalIn } from "@kontor/platform/errors/refusal.ts";
import type { LogFields, Logger } from "@kontor/platform/telemetry/logger.ts";
import { createKeyRing } from "./key-ring.ts";

async function setup() {
  const { publicKey: key } = await generateKeyPair("ES256");
  const warnings: LogFields[] = [];
  const nothing = () => undefined;
  const log: Logger = { debug: nothing, info: nothing, warn: (fields) => void warnings.push(fields), error: nothing, child: () => log };
  const state = { nowMs: 0, asked: 0, away: false, published: ["old"] };
  const fetch = async () => {
    state.asked++;
    if (state.away) throw new Error("identity is away");
    return new Map(state.published.map((kid) => [kid, key]));
  };
  return { key, state, warnings, ring: createKeyRing({ fetch, log, nowMs: () => state.nowMs }) };
}

describe("key ring", () => {
  it("takes a new key as soon as it is used, and drops the old one after a few minutes", async () => {
    const { ring, state, key } = await setup();
    assert.equal(await ring.key("old"), key);
    state.published = ["old", "new"];
    state.nowMs += 1500;
    assert.equal(await ring.key("new"), key);
    state.published = ["new"];
    state.nowMs += 5 * 60_000 + 1;
    assert.equal(await ring.key("old"), key, "nobody waits for the question");
    assert.equal(await ring.key("new"), key);
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(state.asked, 3);
    state.nowMs += 10;
    assert.equal(await ring.key("old"), undefined);
  });

  it("asks once for many, and once a second for strange ones", async () => {
    const { ring, state } = await setup();
    await Promise.all([ring.key("old"), ring.key("a"), ring.key("b")]);
    await ring.key("c");
    assert.equal(state.asked, 1);
    state.nowMs += 1001;
    assert.equal(await ring.key("c"), undefined);
    assert.equal(state.asked, 2);
  });

  it("goes on with the keys it has while the others are away, and refuses as unavailable what it cannot know", async () => {
    const { ring, state, key, warnings } = await setup();
    await ring.key("old");
    state.away = true;
    state.nowMs += 10 * 60_000;
    assert.equal(await ring.key("old"), key);
    await assert.rejects(ring.key("new"), (error) => refusalIn(error)?.reason === "DEPENDENCY_UNAVAILABLE");
    assert.ok(warnings.length > 0);
  });
});
