import type { ChangePasswordRequest } from "@kontor/contracts/gen/kontor/identity/v1/identity_pb.js";
import type { Call } from "@kontor/platform/call/call.ts";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import type { ServiceContext } from "@kontor/platform/service/service.ts";
import { readAccount } from "./account-store.ts";
import type { AnnounceEnded } from "./ended-sessions.ts";
import type { Passwords } from "./passwords.ts";
import { setPassword } from "./set-password.ts";

type Needs = Pick<ServiceContext, "database" | "events" | "clock"> & {
  readonly passwords: Passwords;
  readonly announceEnded: AnnounceEnded;
};

/** Changes the caller's own password; all other sessions end. Refuses with PASSWORD_WRONG. */
export const changePassword =
  (needs: Needs) =>
  async ({ currentPassword, newPassword }: ChangePasswordRequest, call: Call): Promise<void> => {
    const { database, passwords, announceEnded } = needs;
    const { id, session } = call.signedIn();
    const account = await readAccount(database, id);
    if (!(await passwords.matches(account.passwordHash, currentPassword, call))) throw passwordWrong();
    const passwordHash = await passwords.hash(newPassword, call);
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
