import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { DescService } from "@bufbuild/protobuf";
import { CartsService } from "@kontor/contracts/gen/kontor/carts/v1/carts_pb.js";
import { CatalogService } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import { IdentityService } from "@kontor/contracts/gen/kontor/identity/v1/identity_pb.js";
import { createMemoryCache } from "@kontor/platform/cache/memory.ts";
import { methodsOf } from "@kontor/platform/contract/contract.ts";
import { createRateLimiter, parseRateLimits, rateLimitDefaults } from "./rate-limits.ts";

const { bruteForce, guestWrites } = rateLimitDefaults;

describe("rate limits as they are configured", () => {
  it("reads one for all, ones for services, windows of any length, and off", () => {
    assert.deepEqual(parseRateLimits("600/m"), { default: { requests: 600, windowMs: 60_000 }, byService: {}, bruteForce, guestWrites });
    assert.deepEqual(parseRateLimits("600/m,catalog=3000/m, identity=60/10s ,payments=off"), {
      default: { requests: 600, windowMs: 60_000 },
      byService: { catalog: { requests: 3000, windowMs: 60_000 }, identity: { requests: 60, windowMs: 10_000 }, payments: "off" },
      bruteForce,
      guestWrites,
    });
    assert.deepEqual(parseRateLimits("brute-force=100/15m"), {
      byService: {},
      bruteForce: { requests: 100, windowMs: 900_000 },
      guestWrites,
    });
    assert.deepEqual(parseRateLimits("brute-force=off,catalog=5/2h"), {
      byService: { catalog: { requests: 5, windowMs: 7_200_000 } },
      bruteForce: "off",
      guestWrites,
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
  const ann = { signedIn: true, name: () => "usr_ann" };
  const guest = (address: string) => ({ signedIn: false, name: () => address });
  const method = (service: string, description: DescService, name: string) => {
    return { service, contract: methodsOf(description).find((one) => one.method.localName === name)! };
  };
  const catalog = method("catalog", CatalogService, "listProducts");
  const identity = method("identity", IdentityService, "getMe");
  const carts = method("carts", CartsService, "createCart");

  it("names a service that does not exist, so that a misspelt one is found at the start", () => {
    assert.throws(
      () => open("catalogue=5/m"),
      /rate limit for catalogue, which is not a service here; the services are catalog, identity, carts/,
    );
  });

  it("does not find out the client where there is no limit", () => {
    const never = { signedIn: false, name: () => assert.fail("no request is counted") };
    assert.equal(open("catalog=5/m")(identity, never), undefined);
    assert.equal(open("5/m,identity=off")(identity, never), undefined);
  });

  it("GW-07: refuses from request N+1 on until the window ends, each client for himself", async () => {
    const take = open("2/m");
    assert.deepEqual(await take(carts, ann), {
      headers: ["RateLimit-Policy", '"default";q=2;w=60', "RateLimit", '"default";r=1;t=60'],
      refusal: undefined,
    });
    nowMs += 20_500;
    const second = await take(identity, ann);
    assert.deepEqual([second?.headers[3], second?.refusal], ['"default";r=0;t=40', undefined], "all services share the limit for all");
    for (let n = 0; n < 3; n++) {
      const { refusal, headers } = (await take(carts, ann))!;
      assert.deepEqual([refusal?.reason, refusal?.code, refusal?.retryAfterMs], ["RATE_LIMITED", "resource_exhausted", 39_500]);
      assert.equal(headers[3], '"default";r=0;t=40');
    }
    assert.equal((await take(carts, { signedIn: true, name: () => "usr_bo" }))?.refusal, undefined);
    nowMs += 39_500;
    assert.equal((await take(carts, ann))?.refusal, undefined);
  });

  it("GW-07 S18: counts the writes of guests by their address though nothing is configured, by the contract's own limit where it has one", async () => {
    const take = open("guest-writes=2/m");
    const outcomes = async (target: Parameters<typeof take>[0], times: number, client = guest("10.0.0.1")) => {
      const all = [];
      for (let n = 0; n < times; n++) all.push((await take(target, client))?.refusal?.reason);
      return all;
    };
    assert.deepEqual(await outcomes(carts, 3), [undefined, undefined, "RATE_LIMITED"]);
    assert.deepEqual(await outcomes(carts, 1, guest("10.0.0.2")), [undefined], "another address's writes all pass");
    assert.equal(take(carts, ann), undefined, "who is signed in is known");
    assert.equal(take(catalog, guest("10.0.0.1")), undefined, "reads are free");
    const register = method("identity", IdentityService, "register");
    assert.deepEqual((await outcomes(register, 301)).slice(-2), [undefined, "RATE_LIMITED"]);
    assert.equal((await open("1/m,guest-writes=off")(register, guest("10.0.0.1")))?.headers[1], '"default";q=1;w=60');
    const shipped = createRateLimiter(rateLimitDefaults, { count: async () => ({ count: 1_201, expiresInMs: 1 }), services: ["carts"] });
    assert.equal((await shipped(carts, guest("10.0.0.1")))?.refusal?.reason, "RATE_LIMITED", "the default needs no setting");
  });
});
