import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createMemoryCache } from "@kontor/platform/cache/memory.ts";
import { createRateLimiter, parseRateLimits, rateLimitDefaults } from "./rate-limits.ts";

const { bruteForce } = rateLimitDefaults;

describe("rate limits as they are configured", () => {
  it("reads one for all, ones for services, windows of any length, and off", () => {
    assert.deepEqual(parseRateLimits("600/m"), { default: { requests: 600, windowMs: 60_000 }, byService: {}, bruteForce });
    assert.deepEqual(parseRateLimits("600/m,catalog=3000/m, identity=60/10s ,payments=off"), {
      default: { requests: 600, windowMs: 60_000 },
      byService: { catalog: { requests: 3000, windowMs: 60_000 }, identity: { requests: 60, windowMs: 10_000 }, payments: "off" },
      bruteForce,
    });
    assert.deepEqual(parseRateLimits("brute-force=100/15m"), { byService: {}, bruteForce: { requests: 100, windowMs: 900_000 } });
    assert.deepEqual(parseRateLimits("brute-force=off,catalog=5/2h"), {
      byService: { catalog: { requests: 5, windowMs: 7_200_000 } },
      bruteForce: "off",
    });
  });

  it("names the wrong piece, and shows a right one", () => {
    for (const wrong of [
      "",
      "600",
      "600/d",
      "0/m",
      "600/0m",
      "-1/m",
      "catalog",
      "catalog=",
      "Catalog=5/m",
      "5/m;6/m",
      "off",
      "1.5/s",
      "catalog=5/m,",
    ])
      assert.throws(
        () => parseRateLimits(wrong),
        (error: Error) => error.message.includes(`"${wrong.split(",").at(-1)}" is not a limit; write 600/m`),
        wrong,
      );
    assert.throws(() => parseRateLimits("5/m,6/m"), /"6\/m" sets the limit for all a second time/);
    assert.throws(() => parseRateLimits("catalog=5/m,catalog=off"), /"catalog=off" sets catalog a second time/);
  });
});

describe("rate limiter", () => {
  let nowMs = 0;
  const open = (limits: string) => {
    const { increment } = createMemoryCache({ maxEntries: 100, clock: () => nowMs });
    return createRateLimiter(parseRateLimits(limits), { count: increment, services: ["catalog", "identity", "carts"] });
  };
  const ann = () => "usr_ann";

  it("names a service that does not exist, so that a misspelt one is found at the start", () => {
    assert.throws(
      () => open("catalogue=5/m"),
      /rate limit for catalogue, which is not a service here; the services are catalog, identity, carts/,
    );
  });

  it("does not find out the client where there is no limit", () => {
    const never = () => assert.fail("no request is counted");
    assert.equal(open("catalog=5/m")("identity", never), undefined);
    assert.equal(open("5/m,identity=off")("identity", never), undefined);
  });

  it("GW-07: refuses from request N+1 on until the window ends, each client for himself", async () => {
    const take = open("2/m");
    assert.deepEqual(await take("carts", ann), {
      headers: ["RateLimit-Policy", '"default";q=2;w=60', "RateLimit", '"default";r=1;t=60'],
      refusal: undefined,
    });
    nowMs += 20_500;
    const second = await take("identity", ann);
    assert.deepEqual([second?.headers[3], second?.refusal], ['"default";r=0;t=40', undefined], "all services share the limit for all");
    for (let n = 0; n < 3; n++) {
      const { refusal, headers } = (await take("carts", ann))!;
      assert.deepEqual([refusal?.reason, refusal?.code, refusal?.retryAfterMs], ["RATE_LIMITED", "resource_exhausted", 39_500]);
      assert.equal(headers[3], '"default";r=0;t=40');
    }
    assert.equal((await take("carts", () => "usr_bo"))?.refusal, undefined);
    nowMs += 39_500;
    assert.equal((await take("carts", ann))?.refusal, undefined);
  });
});
