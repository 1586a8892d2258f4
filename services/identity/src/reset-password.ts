import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { PasswordResetRequestedSchema } from "@kontor/contracts/gen/kontor/identity/v1/events_pb.js";
import type { ConfirmPasswordResetRequest } from "@kontor/contracts/gen/kontor/identity/v1/identity_pb.js";
import type { Call } from "@kontor/platform/call/call.ts";
import { emailAddress } from "@kontor/platform/contract/email-address.ts";
import type { EmailKey } from "@kontor/platform/contract/email-address.ts";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import type { ServiceContext } from "@kontor/platform/service/service.ts";
import { findAccountByEmail } from "./account-store.ts";
import type { AccountRecord } from "./account-store.ts";
import type { AnnounceEnded } from "./ended-sessions.ts";
import { cooldownMs, takeMail } from "./mailed-addresses.ts";
import type { Passwords } from "./passwords.ts";
import { findReset, findResetByToken, insertReset, takeReset } from "./reset-store.ts";
import type { Secrets } from "./secrets.ts";
import { setPassword } from "./set-password.ts";
import { nothingToSend } from "./verify-email.ts";

export type ResetNeeds = Pick<ServiceContext, "database" | "events" | "clock" | "ids"> & {
  readonly secrets: Secrets;
  readonly passwords: Passwords;
  readonly announceEnded: AnnounceEnded;
  /** Whoever has the mail is the owner, whatever was tried before: see `Tries`. */
  readonly recognise: (key: EmailKey, call: Call) => Promise<void>;
};

/**
 * Has a link mailed to whoever has an account with the address; gives when the next may be requested. Nothing here asks whether there is one, so that
 * neither the response nor its time says it. Refuses with RESET_TOO_SOON within a minute of a mail to the address.
 */
export const resetPassword =
  ({ database, events, clock, ids, secrets }: ResetNeeds) =>
  async (email: string, call: Call): Promise<Date> => {
    const at = clock.now();
    const { key } = emailAddress(email);
    const reset = ids.next("rst");
    await database.transaction(async (tx) => {
      await takeMail(tx, key, at, "RESET_TOO_SOON");
      const expiresAt = await insertReset(tx, secrets, { id: reset, key, at });
      const requested = create(PasswordResetRequestedSchema, { reset, expiresAt: timestampFromDate(expiresAt) });
      await events.append(tx, call.with({ user: undefined }), [{ stream: reset, expectedVersion: 0, events: [requested] }]);
    });
    return new Date(at.getTime() + cooldownMs);
  };

/** Sets the password with a link's token, which is used up; all sessions end, and the address may sign in whatever was tried before. Refuses with RESET_TOKEN_INVALID. */
export const confirmReset =
  (needs: ResetNeeds) =>
  async ({ token, password }: Pick<ConfirmPasswordResetRequest, "token" | "password">, call: Call): Promise<void> => {
    const { database, clock, passwords, announceEnded, recognise } = needs;
    const reset = await findResetByToken(database, token, clock.now());
    // Nobody has a password hashed with a token that is none.
    if (reset === undefined) throw tokenInvalid();
    const passwordHash = await passwords.hash(password, call);
    const ended = await database.transaction(async (tx) => {
      const taken = await takeReset(tx, reset.id);
      const account = taken && (await findAccountByEmail(tx, taken.emailKey));
      return account && setPassword(needs, tx, { account, passwordHash, cause: "RESET" }, call);
    });
    if (ended === undefined) throw tokenInvalid();
    await Promise.all([recognise(reset.emailKey, call), ...ended.map((one) => announceEnded(one.id, one.lastUsedAt))]);
  };

/** The content of the mail with a link. Refuses with NOT_FOUND when there is nothing to send: no account, or the link was used. */
export const resetMail =
  ({ database, secrets }: Pick<ResetNeeds, "database" | "secrets">) =>
  async (id: string): Promise<{ readonly to: AccountRecord; readonly token: string; readonly expiresAt: Date }> => {
    const reset = await findReset(database, id);
    const to = reset && (await findAccountByEmail(database, reset.emailKey));
    if (reset === undefined || to === undefined) throw nothingToSend();
    return { to, token: secrets.resetToken(id), expiresAt: reset.expiresAt };
  };

function tokenInvalid(): Error {
  return refuse({
    reason: "RESET_TOKEN_INVALID",
    code: "invalid_argument",
    message: "The link is not valid (any more); request another",
    fields: [{ field: "token", reason: "RESET_TOKEN_INVALID", message: "is not the token of a link that can still be used" }],
  });
}
