import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Endpoints } from "./http-endpoints.ts";

describe("a service's addresses", () => {
  it("GW-17: are used in turn", () => {
    const endpoints = new Endpoints(["a:1", "b:2", "[::1]:3"]);
    const hosts = Array.from({ length: 6 }, () => endpoints.next()).map(({ host, port }) => `${host} ${port}`);
    assert.deepEqual(hosts, ["a 1", "b 2", "::1 3", "a 1", "b 2", "::1 3"]);
  });

  it("GW-17: one that was lost is left out until it was reached again, or there is no other", () => {
    const endpoints = new Endpoints(["a:1", "b:2"]);
    const [a, b] = [endpoints.next(), endpoints.next()];
    endpoints.lost(a);
    assert.deepEqual([endpoints.next().host, endpoints.next().host, endpoints.next().host], ["b", "b", "b"]);
    endpoints.lost(b);
    assert.equal(endpoints.next().host, "a", "the one that comes back first");
    endpoints.reached(a);
    assert.deepEqual([endpoints.next().host, endpoints.next().host], ["a", "a"]);
    endpoints.reached(b);
    assert.equal(new Set([endpoints.next().host, endpoints.next().host]).size, 2);
  });

  it("is left out for longer each time, 2 s at most", () => {
    const endpoints = new Endpoints(["a:1"]);
    const endpoint = endpoints.next();
    const waits = Array.from({ length: 7 }, () => (endpoints.lost(endpoint), endpoint.awayMs));
    assert.deepEqual(waits, [100, 200, 400, 800, 1_600, 2_000, 2_000]);
  });
});
