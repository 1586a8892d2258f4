import assert from "node:assert/strict";
import type { IncomingMessage, ServerResponse } from "node:http";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { EmptySchema } from "@bufbuild/protobuf/wkt";
import { CartsService } from "@kontor/contracts/gen/kontor/carts/v1/carts_pb.js";
import { CatalogService } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import { IdentityService } from "@kontor/contracts/gen/kontor/identity/v1/identity_pb.js";
import { createMemoryCache } from "@kontor/platform/cache/memory.ts";
import type { Call, User } from "@kontor/platform/call/call.ts";
import { refusalIn, refuse } from "@kontor/platform/errors/refusal.ts";
import { ConcurrencyLimiter } from "@kontor/platform/rpc/concurrency-limiter.ts";
import { guest } from "./authenticate.ts";
import { createBruteForceLimits } from "./brute-force-limits.ts";
import { createEdge } from "./edge.ts";
import { openExchange } from "./exchange.ts";
import { OpenSessions } from "./open-sessions.ts";
import { createRateLimiter, parseRateLimits } from "./rate-limits.ts";
import { targetsOf } from "./target.ts";
import { tokenRejected } from "./tokens.ts";

const services = { carts: CartsService, catalog: CatalogService, identity: IdentityService };
const message = create(EmptySchema);
const read = { readOnly: true };
const write = { readOnly: false };

const ann: User = { id: "usr_ann", session: "ses_1", roles: [], verified: true };

/** An edge without any protocol: "ann" is the only valid token. */
function setup(limits = "3/h,catalog=2/h") {
  const calls: Call[] = [];
  let tokens = 0;
  let failure: Error | undefined;
  const invoke = async (_: unknown, call: Call): Promise<object> => {
    calls.push(call);
    if (failure !== undefined) throw failure;
    return {};
  };
  const client = new Proxy({}, { get: () => invoke });
  const served = new Map(Object.entries(services).map(([name, service]) => [name, [{ service }]]));
  const targets = [...targetsOf({ served: () => served, clientsFor: () => ({ of: () => client }) } as never)];
  const rates = parseRateLimits(limits);
  const { increment: count } = createMemoryCache({ maxEntries: 100, clock: () => 0 });
  const edge = createEdge({
    authenticate: async (authorization) => {
      tokens++;
      return authorization === "ann"
        ? { user: ann, verified: { user: ann, expiresMs: Infinity }, rejectedToken: undefined }
        : { user: undefined, verified: undefined, rejectedToken: tokenRejected() };
    },
    openSessions: new OpenSessions(async () => true),
    rateLimiter: createRateLimiter(rates, { count, services: served.keys() }),
    bruteForceLimits: createBruteForceLimits(rates.bruteForce, count),
    concurrencyLimiters: new Map([...served.keys()].map((name) => [name, new ConcurrencyLimiter()])),
    timeoutMs: 1_000,
    addressOf: () => "203.0.113.7",
    originOf: (address) => `of ${address}`,
  });
  return {
    edge,
    calls,
    tokensSeen: () => tokens,
    failWith: (error: Error) => void (failure = error),
    target: (name: string) => targets.find(({ contract }) => contract.method.localName === name)!,
    exchange: (authorization?: string) =>
      openExchange(
        { headers: authorization === undefined ? {} : { authorization }, socket: { remoteAddress: "10.0.0.1" } } as IncomingMessage,
        {} as ServerResponse,
      ),
  };
}

const refusedWith = (reason: string) => (error: unknown) => refusalIn(error)?.reason === reason;

describe("edge", () => {
  it("identifies a request once and permits it for each of several targets, each counted and checked by itself", async () => {
    const { edge, target, exchange, calls, tokensSeen } = setup();
    const request = exchange("ann");
    const principal = await edge.identify(request);
    for (const name of ["listProducts", "getMe"]) {
      await edge.permit(request, target(name), principal, read);
      await edge.invoke(request, target(name), { principal, message, idempotencyKey: undefined });
    }
    assert.equal(tokensSeen(), 1);
    assert.deepEqual(
      calls.map(({ user, correlation }) => [user?.id, correlation]),
      [
        ["usr_ann", request.correlation],
        ["usr_ann", request.correlation],
      ],
    );
    await edge.permit(request, target("listProducts"), principal, read);
    await assert.rejects(async () => edge.permit(request, target("listProducts"), principal, read), refusedWith("RATE_LIMITED"));
    assert.match(request.rateLimitHeaders.join(), /"catalog";r=0/);
    await edge.permit(request, target("getMe"), principal, read);
  });

  it("admits guests where the contract does, and does not look at a token where it is ignored", async () => {
    const { edge, target, exchange, tokensSeen } = setup("100/h");
    assert.equal((await edge.admit(exchange(), target("listProducts"), read)).user, undefined);
    await assert.rejects(async () => edge.admit(exchange(), target("getMe"), read), refusedWith("UNAUTHENTICATED"));
    await edge.admit(exchange("an old one"), target("login"), write);
    assert.equal(tokensSeen(), 0);
  });

  it("lets a client shorten the time of a call, but not of one that checks a secret: a wrong one must be counted", async () => {
    const { edge, target, exchange, calls } = setup("100/h");
    for (const name of ["listProducts", "login"])
      await edge.invoke(exchange(), target(name), { principal: guest, message, idempotencyKey: undefined, timeoutMs: 0 });
    assert.deepEqual(
      calls.map((call) => call.remainingMs() > 0),
      [false, true],
    );
  });

  it("serves the sender of a rejected token as a guest; where the caller matters, in reads alone, and blames the token for what is not found", async () => {
    const { edge, target, exchange, failWith } = setup("100/h");
    const request = exchange("an old one");
    const principal = await edge.admit(request, target("listProducts"), write);
    assert.equal(principal.user, undefined);
    await assert.rejects(async () => edge.admit(request, target("createCart"), write), refusedWith("UNAUTHENTICATED"));
    await edge.admit(request, target("getCart"), read);
    failWith(refuse({ reason: "NOT_FOUND", code: "not_found" }));
    const invocation = { principal, message, idempotencyKey: undefined };
    await assert.rejects(edge.invoke(request, target("getCart"), invocation), (error) => error === principal.rejectedToken);
    await assert.rejects(edge.invoke(request, target("getProduct"), invocation), refusedWith("NOT_FOUND"));
  });
});
