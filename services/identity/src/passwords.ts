import { hash, verify } from "@node-rs/argon2";
import { refuse } from "@kontor/platform/errors/refusal.ts";

// argon2id is the library's default.
const options = { memoryCost: 19_456, timeCost: 2, parallelism: 1 } as const;
/** A hash of random bytes that nobody has, made with these options: checking against it takes as long as against a real one. */
export const nobodys = "$argon2id$v=19$m=19456,t=2,p=1$DSAd586BZSqVdaWWAX6IeQ$xYzhEPJL3xpe4zempbHJyFjgL42s457BAN+a7HWqRpA";
const atOnceMax = 2;
const waitingMax = 100;

/** Hashes and checks passwords with argon2id, two at a time: each takes 19 MiB and tens of milliseconds of a core. */
export interface Passwords {
  hash(password: string): Promise<string>;
  /** Takes as long for an unknown account (no hash) as for a wrong password. */
  matches(hash: string | undefined, password: string): Promise<boolean>;
}

/** Refuses with OVERLOADED when a hundred are waiting already. */
export function createPasswords(): Passwords {
  const waiting: (() => void)[] = [];
  let running = 0;

  const inTurn = async <T>(work: () => Promise<T>): Promise<T> => {
    if (running >= atOnceMax) {
      if (waiting.length >= waitingMax)
        throw refuse({ reason: "OVERLOADED", code: "unavailable", message: "Too many people sign in at once", retryAfterMs: 1_000 });
      await new Promise<void>((resolve) => waiting.push(resolve));
    } else running++;
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      if (next === undefined) running--;
      else next();
    }
  };
  return {
    hash: (password) => inTurn(() => hash(composed(password), options)),
    matches: async (stored, password) => {
      const same = await inTurn(() => verify(stored ?? nobodys, composed(password)));
      return stored !== undefined && same;
    },
  };
}

/** The same letters are the same password, however the keyboard put them together. */
function composed(password: string): string {
  return password.normalize("NFKC");
}
