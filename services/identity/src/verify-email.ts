import { create } from "@bufbuild/protobuf";
import { AccountRegisteredSchema, AccountVerifiedSchema } from "@kontor/contracts/gen/kontor/identity/v1/events_pb.js";
import { AccountStatus } from "@kontor/contracts/gen/kontor/identity/v1/identity_pb.js";
import type { VerifyEmailRequest } from "@kontor/contracts/gen/kontor/identity/v1/identity_pb.js";
import type { Call } from "@kontor/platform/call/call.ts";
import { emailAddress } from "@kontor/platform/contract/email-address.ts";
import type { Transaction } from "@kontor/platform/database/database.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import { earliestId } from "@kontor/platform/ids/ids.ts";
import { findAccountByEmail, insertAccount } from "./account-store.ts";
import type { AccountRecord } from "./account-store.ts";
import { codeLifeMs } from "./register.ts";
import type { RegisterNeeds } from "./register.ts";
import { findByVerification, lockRegistrations } from "./registration-store.ts";
import type { RegistrationRecord } from "./registration-store.ts";
import { findReset } from "./reset-store.ts";

/**
 * Makes the account of the registration whose code this is: with its password and its name, whoever else has registered with the address, before
 * or after. An older code, of the same registration too, stays good beside a newer one until it expires: otherwise anybody could void it by registering again, and its owner would type the newest,
 * which confirms the other's password. Refuses with CODE_WRONG (also when the code was used, or the address has an account) and
 * CODE_EXPIRED.
 */
export const verifyEmail =
  (needs: RegisterNeeds) =>
  async ({ email, code, account: named }: VerifyEmailRequest, call: Call): Promise<AccountRecord> => {
    const { key } = emailAddress(email);
    const { database, clock, secrets } = needs;
    const verdict = await database.transaction(async (tx) => {
      const at = clock.now();
      const pending = await lockRegistrations(tx, key, named, at);
      const sent = pending.flatMap((registration) =>
        [registration.verification, ...registration.older].map((verification) => ({ ...registration, verification })),
      );
      const registration = sent.find(({ verification }) => secrets.isVerificationCode(verification, code));
      if (registration === undefined) return "CODE_WRONG";
      if (registration.verification < earliestId("vrf", new Date(at.getTime() - codeLifeMs + 1))) return "CODE_EXPIRED";
      const account = await makeAccount(needs, tx, registration, call);
      if (account === undefined) return "CODE_WRONG";
      // Its links were for the case that there is an account already: none of them was mailed.
      await tx.run(
        sql`with links as (delete from password_resets where email_key = ${key}) delete from registrations where email_key = ${key}`,
      );
      return account;
    });
    if (verdict === "CODE_WRONG")
      throw refuse({
        reason: "CODE_WRONG",
        code: "invalid_argument",
        message: "The code is wrong, used or unknown",
        fields: [{ field: "code", reason: "CODE_WRONG", message: "is not the code of a mail that can still be used" }],
      });
    if (verdict === "CODE_EXPIRED")
      throw refuse({ reason: "CODE_EXPIRED", code: "failed_precondition", message: "The code has expired; request another" });
    return verdict;
  };

/** Undefined when an account has the address already. */
async function makeAccount(
  { events, clock }: RegisterNeeds,
  tx: Transaction,
  { account: id, email, name, passwordHash, version: before, verification }: RegistrationRecord,
  call: Call,
): Promise<AccountRecord | undefined> {
  const version = before + 2;
  const account: AccountRecord = { id, version, email, name, passwordHash, status: "VERIFIED", roles: [], createdAt: clock.now() };
  if (!(await insertAccount(tx, account))) return undefined;
  const happened = [
    create(AccountRegisteredSchema, { account: id, status: AccountStatus.VERIFIED }),
    create(AccountVerifiedSchema, { account: id, verification }),
  ];
  await events.append(tx, call.with({ user: undefined, caller: id }), [{ stream: id, expectedVersion: before, events: happened }]);
  return account;
}

/** What the mail of a verification says, decided when it is sent. */
export type VerificationMailFacts = { readonly expiresAt: Date } & (
  | { readonly to: Pick<AccountRecord, "id" | "email" | "name">; readonly code: string }
  /** The address has an account: its owner is told, whatever the registration says. */
  | { readonly to: AccountRecord; readonly resetToken: string }
);

/** The content of a verification's mail. Refuses with NOT_FOUND when there is nothing to send: the code was used or replaced, or is long over. */
export const verificationMail =
  ({ database, secrets }: Pick<RegisterNeeds, "database" | "secrets">) =>
  async (id: string): Promise<VerificationMailFacts> => {
    const registration = await findByVerification(database, id);
    if (registration === undefined) throw nothingToSend();
    const { account, email, name, emailKey, codeExpiresAt } = registration;
    const owner = await findAccountByEmail(database, emailKey);
    if (owner === undefined) return { to: { id: account, email, name }, code: secrets.verificationCode(id), expiresAt: codeExpiresAt };
    const reset = await findReset(database, id);
    if (reset === undefined) throw nothingToSend();
    return { to: owner, resetToken: secrets.resetToken(id), expiresAt: reset.expiresAt };
  };

export function nothingToSend(): Error {
  return refuse({ reason: "NOT_FOUND", code: "not_found", message: "There is nothing to send (any more)" });
}
