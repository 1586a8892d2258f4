import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Endpoints } from "./http-endpoints.ts";

describe("a service's addresses", () => {
  it("GW-17: are used in turn", () => {
    const endpoints = new Endpoints(["a:1", "b:2", "[::1]:3"]);
    const hosts = Array.from({ length: 6 }, () => endpoints.next()).map(({ host, port }) => `${host} ${port}`);
    assert.deepEqual(hosts, ["a 1", "b 2", "::1 3", "a 1", "b 2", "::1 3"]);
  });

  it("GW-17: one that failed is skipped until it succeeds again, or there is no other", () => {
    const endpoints = new Endpoints(["a:1", "b:2"]);
    const [a, b] = [endpoints.next(), endpoints.next()];
    endpoints.failed(a);
    assert.deepEqual([endpoints.next().host, endpoints.next().host, endpoints.next().host], ["b", "b", "b"]);
    endpoints.failed(b);
    assert.equal(endpoints.next().host, "a", "the one whose time is over first");
    endpoints.succeeded(a);
    assert.deepEqual([endpoints.next().host, endpoints.next().host], ["a", "a"]);
    endpoints.succeeded(b);
    assert.equal(new Set([endpoints.next().host, endpoints.next().host]).size, 2);
  });

  it("one is skipped for longer each time, 2 s at most", () => {
    const endpoints = new Endpoints(["a:1"]);
    const endpoint = endpoints.next();
    const waits = Array.from({ length: 7 }, () => endpoints.failed(endpoint));
    assert.deepEqual(waits, [100, 200, 400, 800, 1_600, 2_000, 2_000]);
  });
});
