import type { Cache } from "@kontor/platform/cache/cache.ts";
import type { MethodContract } from "@kontor/platform/contract/contract.ts";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import type { Refusal } from "@kontor/platform/errors/refusal.ts";

/** Counts in windows of time; in this process alone while the cache is unavailable. */
export type Count = Cache["increment"];

/** A number of requests in each window of time, for each client. A window begins with its first request. */
export interface RateLimit {
  readonly requests: number;
  readonly windowMs: number;
}

export interface RateLimits {
  /** For all services together that have no limit of their own; absent: none. */
  readonly default?: RateLimit;
  /** Counted for each service by itself; "off" takes one out of the default. */
  readonly byService: Readonly<Record<string, RateLimit | "off">>;
  /** How many wrong passwords, codes and refresh tokens may come from an address, whatever accounts they are for. */
  readonly bruteForce: RateLimit | "off";
  /**
   * How many writes of guests may come from an address, over all methods that have no limit of their own in the contract; "off" takes away those as
   * well. A method cannot be without a limit because somebody forgot it.
   */
  readonly guestWrites: RateLimit | "off";
}

/**
 * No limits but those of what costs the shop something before it knows who asks. A mobile network puts thousands of people behind one address, and
 * some of them forget their passwords.
 */
export const rateLimitDefaults: RateLimits = {
  byService: {},
  bruteForce: { requests: 1_000, windowMs: 900_000 },
  guestWrites: { requests: 1_200, windowMs: 60_000 },
};

/**
 * Reads limits as they are configured: "600/m" for each client, "catalog=3000/m" for one service, "identity=off",
 * "brute-force=100/15m", "guest-writes=600/m", in any order, separated by commas. A window is s, m or h, with or without a number before it. Throws with the piece that is wrong.
 */
export function parseRateLimits(text: string): RateLimits {
  const read: {
    default?: RateLimit;
    byService: Record<string, RateLimit | "off">;
    bruteForce?: RateLimit | "off";
    guestWrites?: RateLimit | "off";
  } = { byService: {} };
  const named = new Set<string>();
  for (const piece of text.split(",").map((one) => one.trim())) {
    const [, name = "", rate = ""] = /^(?:([a-z][a-z-]*)=)?(.*)$/.exec(piece) ?? [];
    if (named.has(name)) throw new Error(`"${piece}" sets ${name === "" ? "the limit for all" : name} a second time`);
    named.add(name);
    const limit = name !== "" && rate === "off" ? "off" : rateOf(rate);
    if (limit === undefined)
      throw new Error(
        `"${piece}" is not a limit; write 600/m for each client, catalog=3000/m or catalog=off for one service, brute-force=100/15m, guest-writes=600/m`,
      );
    if (name === "brute-force") read.bruteForce = limit;
    else if (name === "guest-writes") read.guestWrites = limit;
    else if (name !== "") read.byService[name] = limit;
    else if (limit !== "off") read.default = limit;
  }
  return { ...rateLimitDefaults, ...read };
}

const unitsMs = { s: 1_000, m: 60_000, h: 3_600_000 } as const;

function rateOf(text: string): RateLimit | undefined {
  const [, requests, count = "1", unit] = /^(\d{1,9})\/(\d{1,4})?([smh])$/.exec(text) ?? [];
  const limit = { requests: Number(requests), windowMs: Number(count) * unitsMs[unit as keyof typeof unitsMs] };
  return limit.requests > 0 && limit.windowMs > 0 ? limit : undefined;
}

/** The state of a client's limit after one of its requests. */
export interface Counted {
  /** `RateLimit-Policy` and `RateLimit` as the IETF's draft has them: a flat list of names and values. */
  readonly headers: readonly string[];
  /** `RATE_LIMITED` for the request that is one too many, and all after it until the window ends. */
  readonly refusal: Refusal | undefined;
}

/** Who sends a request: an account, or an address where nobody is signed in. */
export interface RatedClient {
  readonly signedIn: boolean;
  readonly name: () => string;
}

/** What a request is for. */
export interface RatedTarget {
  readonly service: string;
  readonly contract: Pick<MethodContract, "guestLimit" | "method">;
}

/** Counts a request of a client; undefined, without finding out the client, where there is no limit. */
export type RateLimiter = (target: RatedTarget, client: RatedClient) => Promise<Counted> | undefined;

/** Throws for a limit of a service that is not one of `services`. */
export function createRateLimiter(
  limits: RateLimits,
  { count, services }: { readonly count: Count; readonly services: Iterable<string> },
): RateLimiter {
  const known = [...services];
  for (const name of Object.keys(limits.byService))
    if (!known.includes(name))
      throw new Error(`there is a rate limit for ${name}, which is not a service here; the services are ${known.join(", ")}`);
  const rules = new Map(known.map((service) => [service, ruleOf(service, limits)]));

  async function counted({ name, limit, policy }: Rule, client: string): Promise<Counted> {
    const { count: found, expiresInMs } = await count(`rate:${name}:${client}`, 1, limit.windowMs);
    const headers = [
      "RateLimit-Policy",
      policy,
      "RateLimit",
      `"${name}";r=${Math.max(0, limit.requests - found)};t=${Math.ceil(expiresInMs / 1000)}`,
    ];
    return { headers, refusal: found > limit.requests ? tooMany(expiresInMs, "Too many requests; wait a little") : undefined };
  }

  async function both(first: Rule, second: Rule, client: string): Promise<Counted> {
    const counts = await counted(first, client);
    return counts.refusal === undefined ? counted(second, client) : counts;
  }

  const guestRules = new Map<RatedTarget["contract"], Rule | undefined>();
  function guestRule(contract: RatedTarget["contract"]): Rule | undefined {
    if (!guestRules.has(contract)) guestRules.set(contract, guestRuleOf(contract, limits.guestWrites));
    return guestRules.get(contract);
  }

  return ({ service, contract }, { signedIn, name }) => {
    const rule = rules.get(service);
    const forGuests = signedIn ? undefined : guestRule(contract);
    const first = forGuests ?? rule;
    if (first === undefined) return undefined;
    return forGuests === undefined || rule === undefined ? counted(first, name()) : both(forGuests, rule, name());
  };
}

/** The limit for guests, by the contract. */
function guestRuleOf({ guestLimit, method }: RatedTarget["contract"], guestWrites: RateLimits["guestWrites"]): Rule | undefined {
  if (guestLimit === undefined || guestWrites === "off") return undefined;
  if (guestLimit === "default") return ruleNamed("guest-writes", guestWrites);
  return ruleNamed(`guest-${method.localName}`, { requests: guestLimit.requests, windowMs: guestLimit.windowSeconds * 1_000 });
}

interface Rule {
  readonly name: string;
  readonly limit: RateLimit;
  readonly policy: string;
}

function ruleOf(service: string, limits: RateLimits): Rule | undefined {
  const own = limits.byService[service];
  const limit = own ?? limits.default;
  if (limit === undefined || limit === "off") return undefined;
  return ruleNamed(own === undefined ? "default" : service, limit);
}

function ruleNamed(name: string, limit: RateLimit): Rule {
  return { name, limit, policy: `"${name}";q=${limit.requests};w=${limit.windowMs / 1000}` };
}

export function tooMany(retryAfterMs: number, message: string): Refusal {
  return refuse({ reason: "RATE_LIMITED", code: "resource_exhausted", message, retryAfterMs });
}
