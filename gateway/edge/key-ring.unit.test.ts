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
  const state = { nowMs: 0, fetches: 0, unavailable: false, published: ["old"] };
  const fetch = async () => {
    state.fetches++;
    if (state.unavailable) throw new Error("identity is unavailable");
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
    assert.equal(await ring.key("old"), key, "it does not wait for the fetch");
    assert.equal(await ring.key("new"), key);
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(state.fetches, 3);
    state.nowMs += 10;
    assert.equal(await ring.key("old"), undefined);
  });

  it("fetches once for many, and once a second for unknown ones", async () => {
    const { ring, state } = await setup();
    await Promise.all([ring.key("old"), ring.key("a"), ring.key("b")]);
    await ring.key("c");
    assert.equal(state.fetches, 1);
    state.nowMs += 1001;
    assert.equal(await ring.key("c"), undefined);
    assert.equal(state.fetches, 2);
  });

  it("continues with the known keys while identity is unavailable, and refuses unknown ones as unavailable", async () => {
    const { ring, state, key, warnings } = await setup();
    await ring.key("old");
    state.unavailable = true;
    state.nowMs += 10 * 60_000;
    assert.equal(await ring.key("old"), key);
    await assert.rejects(ring.key("new"), (error) => refusalIn(error)?.reason === "DEPENDENCY_UNAVAILABLE");
    assert.ok(warnings.length > 0);
  });
});
