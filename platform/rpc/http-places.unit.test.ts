import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Places } from "./http-places.ts";

describe("a service's addresses", () => {
  it("GW-17: are used in turn", () => {
    const places = new Places(["a:1", "b:2", "[::1]:3"]);
    const hosts = Array.from({ length: 6 }, () => places.next()).map(({ host, port }) => `${host} ${port}`);
    assert.deepEqual(hosts, ["a 1", "b 2", "::1 3", "a 1", "b 2", "::1 3"]);
  });

  it("GW-17: one that was lost is left out until it was reached again, or there is no other", () => {
    const places = new Places(["a:1", "b:2"]);
    const [a, b] = [places.next(), places.next()];
    places.lost(a);
    assert.deepEqual([places.next().host, places.next().host, places.next().host], ["b", "b", "b"]);
    places.lost(b);
    assert.equal(places.next().host, "a", "the one that comes back first");
    places.reached(a);
    assert.deepEqual([places.next().host, places.next().host], ["a", "a"]);
    places.reached(b);
    assert.equal(new Set([places.next().host, places.next().host]).size, 2);
  });

  it("is left out for longer each time, 2 s at most", () => {
    const places = new Places(["a:1"]);
    const place = places.next();
    const waits = Array.from({ length: 7 }, () => (places.lost(place), place.awayMs));
    assert.deepEqual(waits, [100, 200, 400, 800, 1_600, 2_000, 2_000]);
  });
});
