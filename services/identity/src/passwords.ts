import { hash, verify } from "@node-rs/argon2";
import { refuse } from "@kontor/platform/errors/refusal.ts";

// argon2id is what the library hashes with unless told otherwise.
const options = { memoryCost: 19_456, timeCost: 2, parallelism: 1 } as const;
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
  let decoy: Promise<string> | undefined;

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
    hash: (password) => inTurn(() => hash(password, options)),
    matches: async (stored, password) => {
      decoy ??= hash("a password that nobody has", options);
      const against = stored ?? (await decoy);
      const same = await inTurn(() => verify(against, password));
      return stored !== undefined && same;
    },
  };
}
