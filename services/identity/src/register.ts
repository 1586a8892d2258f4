import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import {
  AccountRegisteredSchema,
  AccountVerifiedSchema,
  VerificationRequestedSchema,
} from "@kontor/contracts/gen/kontor/identity/v1/events_pb.js";
import { AccountStatus } from "@kontor/contracts/gen/kontor/identity/v1/identity_pb.js";
import type { RegisterRequest, VerifyEmailRequest } from "@kontor/contracts/gen/kontor/identity/v1/identity_pb.js";
import type { Transaction } from "@kontor/platform/database/database.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import type { ServiceContext } from "@kontor/platform/service/service.ts";
import { emailDigest, findAccountByEmail, insertAccount, lockAccountByEmail, readAccount } from "./account-store.ts";
import type { AccountRecord } from "./account-store.ts";
import type { Passwords } from "./passwords.ts";
import type { Secrets } from "./secrets.ts";

type Needs = Pick<ServiceContext, "database" | "events" | "clock" | "ids" | "cache"> & {
  readonly secrets: Secrets;
  readonly passwords: Passwords;
};

const verificationLifeMs = 600_000;
const cooldownMs = 60_000;
const triesMax = 5;

/** Makes an account. Refuses with EMAIL_TAKEN. Without `roles` it is a shopper's, unverified, and a code is mailed; with them it is verified. */
export const register =
  ({ database, events, clock, ids, passwords }: Needs) =>
  async (
    request: Pick<RegisterRequest, "email" | "password" | "name"> & { readonly roles?: readonly string[] },
    call: Call,
  ): Promise<AccountRecord> => {
    const name = nameOf(request.name);
    // For the sake of speed only: two at a time find nobody here, and the insert decides.
    if ((await findAccountByEmail(database, request.email)) !== undefined) throw emailTaken();
    const passwordHash = await passwords.hash(request.password);
    const at = clock.now();
    const trusted = request.roles !== undefined;
    const account: AccountRecord = {
      id: ids.next("usr"),
      version: trusted ? 1 : 2,
      email: request.email,
      name,
      passwordHash,
      status: trusted ? "VERIFIED" : "UNVERIFIED",
      roles: request.roles ?? [],
      createdAt: at,
    };
    await database.transaction(async (tx) => {
      if (!(await insertAccount(tx, account))) throw emailTaken();
      const registered = create(AccountRegisteredSchema, {
        account: account.id,
        status: AccountStatus[account.status],
        roles: [...account.roles],
      });
      const happened = trusted ? [registered] : [registered, await requestVerification(tx, ids.next("vrf"), account.id, at)];
      const by = trusted ? call : call.with({ user: undefined, caller: account.id });
      await events.append(tx, by, [{ stream: account.id, expectedVersion: 0, events: happened }]);
    });
    return account;
  };

/** Verifies the address. Refuses with CODE_WRONG (also when the code was used, replaced or tried too often) and CODE_EXPIRED. */
export const verifyEmail =
  ({ database, events, clock, secrets }: Needs) =>
  async ({ email, code }: VerifyEmailRequest, call: Call): Promise<AccountRecord> => {
    // A wrong attempt has to be counted, so the transaction commits before it is refused.
    const verdict = await database.transaction(async (tx) => {
      const account = await lockAccountByEmail(tx, email);
      if (account === undefined) return "CODE_WRONG";
      const at = clock.now();
      const verification = await tx.maybe<{ id: string; expires_at: Date; tries: number; used_at: Date | null }>(
        sql`select id, expires_at, tries, used_at from verifications where account = ${account.id} order by created_at desc, id desc limit 1`,
      );
      if (verification === undefined || verification.used_at !== null || verification.tries >= triesMax) return "CODE_WRONG";
      if (!secrets.isVerificationCode(verification.id, code)) {
        await tx.run(sql`update verifications set tries = tries + 1 where id = ${verification.id}`);
        return "CODE_WRONG";
      }
      if (verification.expires_at <= at) return "CODE_EXPIRED";
      await tx.run(sql`with used as (update verifications set used_at = ${at} where id = ${verification.id})
        update accounts set status = 'VERIFIED', version = version + 1, updated_at = ${at} where id = ${account.id}`);
      const verified = create(AccountVerifiedSchema, { account: account.id, verification: verification.id });
      await events.append(tx, call.with({ user: undefined, caller: account.id }), [
        { stream: account.id, expectedVersion: account.version, events: [verified] },
      ]);
      return { ...account, status: "VERIFIED" as const, version: account.version + 1 };
    });
    if (verdict === "CODE_WRONG")
      throw refuse({
        reason: "CODE_WRONG",
        code: "invalid_argument",
        message: "The code is wrong, used or unknown",
        fields: [{ field: "code", reason: "CODE_WRONG", message: "is not the code of the newest mail" }],
      });
    if (verdict === "CODE_EXPIRED")
      throw refuse({ reason: "CODE_EXPIRED", code: "failed_precondition", message: "The code has expired; request another" });
    return verdict;
  };

/**
 * Has another mail sent; gives when the next may be requested. Refuses with VERIFICATION_TOO_SOON within a minute of the last one. An address
 * that gets no mail, being unknown or verified, gets the same response: otherwise responses would reveal who has an account.
 */
export const resendVerification =
  ({ database, events, clock, ids, cache }: Needs) =>
  async (email: string, call: Call): Promise<Date> => {
    const at = clock.now();
    const known = await findAccountByEmail(database, email);
    if (known?.status !== "UNVERIFIED") {
      const { count, expiresInMs } = await cache.increment(`resend:${emailDigest(email)}`, 1, cooldownMs);
      if (count > 1) throw tooSoon(expiresInMs);
    } else
      await database.transaction(async (tx) => {
        const account = await lockAccountByEmail(tx, email);
        if (account?.status !== "UNVERIFIED") return;
        const { last } = await tx.one<{ last: Date | null }>(
          sql`select max(created_at) as last from verifications where account = ${account.id}`,
        );
        const waitMs = (last?.getTime() ?? 0) + cooldownMs - at.getTime();
        if (waitMs > 0) throw tooSoon(waitMs);
        const requested = await requestVerification(tx, ids.next("vrf"), account.id, at);
        await tx.run(sql`update accounts set version = version + 1, updated_at = ${at} where id = ${account.id}`);
        await events.append(tx, call.with({ user: undefined, caller: account.id }), [
          { stream: account.id, expectedVersion: account.version, events: [requested] },
        ]);
      });
    return new Date(at.getTime() + cooldownMs);
  };

/** The content of a verification's mail. Refuses with NOT_FOUND. */
export const verificationMail =
  ({ database, secrets }: Needs) =>
  async (id: string): Promise<{ account: AccountRecord; code: string; expiresAt: Date }> => {
    const found = await database.maybe<{ account: string; expires_at: Date }>(
      sql`select account, expires_at from verifications where id = ${id}`,
    );
    if (found === undefined) throw refuse({ reason: "NOT_FOUND", code: "not_found", message: "There is no such verification" });
    return { account: await readAccount(database, found.account), code: secrets.verificationCode(id), expiresAt: found.expires_at };
  };

async function requestVerification(tx: Transaction, id: string, account: string, at: Date) {
  const expiresAt = new Date(at.getTime() + verificationLifeMs);
  await tx.run(sql`insert into verifications (id, account, expires_at, created_at) values (${id}, ${account}, ${expiresAt}, ${at})`);
  return create(VerificationRequestedSchema, { account, verification: id, expiresAt: timestampFromDate(expiresAt) });
}

/** A name on one line, because mails contain it. The contract has it visible. */
function nameOf(text: string): string {
  return text.replace(/[\s\p{Cc}]+/gu, " ").trim();
}

function emailTaken(): Error {
  return refuse({ reason: "EMAIL_TAKEN", code: "already_exists", message: "There is an account with this e-mail address" });
}

function tooSoon(waitMs: number): Error {
  return refuse({
    reason: "VERIFICATION_TOO_SOON",
    code: "resource_exhausted",
    message: "A mail was sent less than a minute ago",
    retryAfterMs: waitMs,
  });
}
