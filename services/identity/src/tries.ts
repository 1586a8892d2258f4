import type { Cache } from "@kontor/platform/cache/cache.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import { refusalIn, refuse } from "@kontor/platform/errors/refusal.ts";

export interface TriesOptions {
  /** What is tried: "login". */
  readonly name: string;
  /** The reason of a refusal that says that the secret was wrong. */
  readonly wrong: string;
  readonly windowMs: number;
  /** Wrong tries of one address at one account in a window. */
  readonly ofAddressMax: number;
  /** Wrong tries of all addresses at one account in a window; after them strangers pause. */
  readonly ofStrangersMax: number;
  /** How long: one try of all strangers together in so much time. */
  readonly pauseMs: number;
}

/**
 * Passwords. An address has 10 wrong tries at an account in 15 minutes, 960 a day. All addresses that never signed in to it together have 30, and then one
 * in 30 s: 60 in 15 minutes, 5,760 a day, so that the million most common passwords take a botnet 87 days on average.
 */
export const loginTries: TriesOptions = {
  name: "login",
  wrong: "CREDENTIALS_WRONG",
  windowMs: 900_000,
  ofAddressMax: 10,
  ofStrangersMax: 30,
  pauseMs: 30_000,
};

/** The current password, which whoever has got hold of an access token must not find out by changing it. The same as for signing in. */
export const changeTries: TriesOptions = { ...loginTries, name: "password", wrong: "PASSWORD_WRONG" };

/**
 * Mailed codes. A code has 50 bits, 1.1e15 values, and lives 10 minutes. An address has 10 wrong tries in that time, so that a million addresses find it with
 * a chance of 1e7 / 1.1e15, once in 100 million codes, even without the pause; with it they have 700 tries. So no number of wrong codes has to make the right one invalid.
 */
export const codeTries: TriesOptions = {
  name: "code",
  wrong: "CODE_WRONG",
  windowMs: 600_000,
  ofAddressMax: 10,
  ofStrangersMax: 100,
  pauseMs: 1_000,
};

/** How long an address that has signed in to an account is no stranger to it. */
const knownMs = 30 * 24 * 3_600_000;

export interface Tries {
  /** Does work that checks a secret of an account. Refuses with TOO_MANY_TRIES without doing it. */
  attempt<Result>(account: string, call: Pick<Call, "origin">, work: () => Promise<Result>): Promise<Result>;
  /** The account's owner has been recognised in another way: as after the right secret, the address is no stranger, and its tries begin anew. */
  recognise(account: string, call: Pick<Call, "origin">): Promise<void>;
}

/**
 * Limits the tries at an account's secret so that nobody locks its owner out: tries count for the address that they come from. Only when many addresses
 * try the same account do strangers pause, briefly and together; an address that has signed in before does not. `account` is any text that stands for it, whether it
 * exists or not. A try is counted before it is made, as many at once would all pass otherwise, and a successful one takes back those of its address.
 */
export function createTries(cache: Pick<Cache, "increment" | "get" | "set">, options: TriesOptions): Tries {
  const { name, wrong, windowMs, ofAddressMax, ofStrangersMax, pauseMs } = options;

  async function expectTurn(account: string, takeBack: () => void): Promise<void> {
    const { count, expiresInMs } = await cache.increment(`${name}-pause:${account}`, 1, pauseMs);
    if (count === 1) return;
    takeBack();
    throw tooMany(expiresInMs);
  }

  const keysOf = (account: string, { origin = "" }: Pick<Call, "origin">) => ({
    ofAddress: `${name}:${account}:${origin}`,
    ofStrangers: `${name}:${account}`,
    known: `${name}-known:${account}:${origin}`,
  });

  return {
    async attempt(account, call, work) {
      const { ofAddress, ofStrangers, known } = keysOf(account, call);
      const { count: tries, expiresInMs } = await cache.increment(ofAddress, 1, windowMs);
      if (tries > ofAddressMax) {
        // It is not made. Otherwise many right ones at once would use up those of the next minutes.
        void cache.increment(ofAddress, -1, windowMs);
        throw tooMany(expiresInMs);
      }
      const isKnown = (await cache.get<boolean>(known)) === true;
      const takeBack = (count: number): void => {
        void cache.increment(ofAddress, -count, windowMs);
        if (!isKnown) void cache.increment(ofStrangers, -count, windowMs);
      };
      if (!isKnown && (await cache.increment(ofStrangers, 1, windowMs)).count > ofStrangersMax)
        await expectTurn(account, () => takeBack(1));
      try {
        const result = await work();
        takeBack(tries);
        // A value that may be evicted: then its address is a stranger again.
        await cache.set(known, true, knownMs);
        return result;
      } catch (error) {
        if (refusalIn(error)?.reason !== wrong) takeBack(1);
        throw error;
      }
    },
    async recognise(account, call) {
      const { ofAddress, known } = keysOf(account, call);
      await Promise.all([cache.increment(ofAddress, -ofAddressMax, windowMs), cache.set(known, true, knownMs)]);
    },
  };
}

function tooMany(retryAfterMs: number): Error {
  return refuse({ reason: "TOO_MANY_TRIES", code: "resource_exhausted", message: "Too many attempts; try again later", retryAfterMs });
}
