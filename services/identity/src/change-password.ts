import type { ChangePasswordRequest } from "@kontor/contracts/gen/kontor/identity/v1/identity_pb.js";
import type { Call } from "@kontor/platform/call/call.ts";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import type { ServiceContext } from "@kontor/platform/service/service.ts";
import { readAccount } from "./account-store.ts";
import type { AnnounceEnded } from "./ended-sessions.ts";
import type { Passwords } from "./passwords.ts";
import { setPassword } from "./set-password.ts";

type Needs = Pick<ServiceContext, "database" | "events" | "clock" | "cache"> & {
  readonly passwords: Passwords;
  readonly announceEnded: AnnounceEnded;
};

const triesMax = 10;
const triesWindowMs = 900_000;

/**
 * Changes the caller's own password; all other sessions end. Refuses with PASSWORD_WRONG, and with TOO_MANY_TRIES: whoever has got hold of an access
 * token must not find out the password by it.
 */
export const changePassword =
  (needs: Needs) =>
  async ({ currentPassword, newPassword }: ChangePasswordRequest, call: Call): Promise<void> => {
    const { database, cache, passwords, announceEnded } = needs;
    const { id, session } = call.signedIn();
    const counter = `password:${id}`;
    const { count, expiresInMs } = await cache.increment(counter, 1, triesWindowMs);
    if (count > triesMax)
      throw refuse({
        reason: "TOO_MANY_TRIES",
        code: "resource_exhausted",
        message: "Too many attempts; try again later",
        retryAfterMs: expiresInMs,
      });
    const account = await readAccount(database, id);
    if (!(await passwords.matches(account.passwordHash, currentPassword))) throw passwordWrong();
    await cache.delete(counter);
    const passwordHash = await passwords.hash(newPassword);
    const ended = await database.transaction((tx) =>
      setPassword(needs, tx, { account, passwordHash, cause: "CHANGED", keeps: session }, call),
    );
    if (ended === undefined) throw passwordWrong();
    await Promise.all(ended.map((one) => announceEnded(one.id, one.lastUsedAt)));
  };

function passwordWrong(): Error {
  return refuse({
    reason: "PASSWORD_WRONG",
    code: "invalid_argument",
    message: "The current password is wrong",
    fields: [{ field: "currentPassword", reason: "PASSWORD_WRONG", message: "is not the account's password" }],
  });
}
