import { availableParallelism } from "node:os";
import { hash, verify } from "@node-rs/argon2";
import type { Call } from "@kontor/platform/call/call.ts";
import { ConcurrencyLimiter } from "@kontor/platform/rpc/concurrency-limiter.ts";

// argon2id is the library's default.
const options = { memoryCost: 19_456, timeCost: 2, parallelism: 1 } as const;
/** A hash of random bytes that nobody has, made with these options: checking against it takes as long as against a real one. */
export const nobodys = "$argon2id$v=19$m=19456,t=2,p=1$DSAd586BZSqVdaWWAX6IeQ$xYzhEPJL3xpe4zempbHJyFjgL42s457BAN+a7HWqRpA";
/** Node has four threads for work such as this. Whoever floods sign-ins gets not all cores, where there are two or more. */
const lanes = { signIn: Math.max(1, Math.min(2, availableParallelism() - 1)), newPassword: 1 } as const;
/** A request is refused by its own deadline long before. */
const waitMs = 60_000;
const waiting = 100;

/** Who waits, and until when. */
export type Waits = Pick<Call, "deadlineMs" | "origin">;

/**
 * Hashes and checks passwords with argon2id: each takes 19 MiB and tens of milliseconds of a core. Checks and new passwords have lanes of their own, so that
 * no number of registrations delays a sign-in. In a lane addresses take turns, and what is past its deadline is dropped without the work.
 */
export interface Passwords {
  /** Refuses with OVERLOADED when the lane is full, or the call's time is over before its turn comes. */
  hash(password: string, call?: Waits): Promise<string>;
  /** Takes as long for an unknown account (no hash) as for a wrong password. Refuses as `hash` does. */
  matches(hash: string | undefined, password: string, call?: Waits): Promise<boolean>;
}

export function createPasswords(): Passwords {
  const signIns = new ConcurrencyLimiter({ inFlight: lanes.signIn, waiting, waitMs });
  const newPasswords = new ConcurrencyLimiter({ inFlight: lanes.newPassword, waiting, waitMs });

  const inTurn = async <T>(lane: ConcurrencyLimiter, call: Waits | undefined, work: () => Promise<T>): Promise<T> => {
    const turn = lane.enter(false, call?.deadlineMs, call?.origin);
    if (turn !== undefined) await turn;
    try {
      return await work();
    } finally {
      lane.leave(call?.origin);
    }
  };
  return {
    hash: (password, call) => inTurn(newPasswords, call, () => hash(composed(password), options)),
    matches: async (stored, password, call) => {
      const same = await inTurn(signIns, call, () => verify(stored ?? nobodys, composed(password)));
      return stored !== undefined && same;
    },
  };
}

/** The same letters are the same password, however the keyboard put them together. */
function composed(password: string): string {
  return password.normalize("NFKC");
}
