import { createHash } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { SessionEndedSchema, SessionStartedSchema } from "@kontor/contracts/gen/kontor/identity/v1/events_pb.js";
import type { LoginRequest } from "@kontor/contracts/gen/kontor/identity/v1/identity_pb.js";
import type { Transaction } from "@kontor/platform/database/database.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import type { Call } from "@kontor/platform/rpc/call.ts";
import type { Surroundings } from "@kontor/platform/service/service.ts";
import { accessTokenSeconds } from "./access-tokens.ts";
import type { AccessTokens } from "./access-tokens.ts";
import { emailKey, findAccountByEmail, readAccount } from "./account-store.ts";
import type { AccountRecord } from "./account-store.ts";
import type { Passwords } from "./passwords.ts";
import type { Secrets } from "./secrets.ts";

type Needs = Pick<Surroundings, "database" | "events" | "clock" | "ids" | "cache" | "log"> & {
  readonly secrets: Secrets;
  readonly passwords: Passwords;
  readonly accessTokens: AccessTokens;
};

export interface IssuedTokens {
  readonly accessToken: string;
  readonly refreshToken: string;
  readonly expiresIn: number;
  readonly tokenType: "Bearer";
}

export interface SessionRecord {
  readonly id: string;
  readonly account: string;
  readonly generation: number;
  readonly rotatedAt: Date;
  readonly createdAt: Date;
  readonly lastUsedAt: Date;
  readonly expiresAt: Date;
  readonly endedAt: Date | null;
}

const sessionLifeMs = 30 * 24 * 3_600_000;
const triesMax = 10;
const triesWindowMs = 900_000;
const columns = sql`id, account, generation, rotated_at as "rotatedAt", created_at as "createdAt", last_used_at as "lastUsedAt",
  expires_at as "expiresAt", ended_at as "endedAt"`;

/** Signs in. Refuses with CREDENTIALS_WRONG, in the same words and time whether the account exists, and with TOO_MANY_TRIES. */
export const login =
  (needs: Needs) =>
  async ({ email, password }: LoginRequest, call: Call): Promise<IssuedTokens> => {
    const { database, events, clock, ids, cache, passwords } = needs;
    const counter = `login:${createHash("sha256").update(emailKey(email)).digest("base64url")}`;
    const { count, expiresInMs } = await cache.increment(counter, 1, triesWindowMs);
    if (count > triesMax)
      throw refuse({ reason: "TOO_MANY_TRIES", code: "resource_exhausted", message: "Too many tries; wait a little", retryAfterMs: expiresInMs });
    const account = await findAccountByEmail(database, email);
    if (!(await passwords.matches(account?.passwordHash, password)) || account === undefined)
      throw refuse({ reason: "CREDENTIALS_WRONG", code: "unauthenticated", message: "The e-mail address or the password is wrong" });
    await cache.delete(counter);
    const at = clock.now();
    const session = ids.next("ses");
    await database.transaction(async (tx) => {
      await tx.run(sql`insert into sessions (id, account, generation, rotated_at, created_at, last_used_at, expires_at)
        values (${session}, ${account.id}, 1, ${new Date()}, ${at}, ${at}, ${new Date(at.getTime() + sessionLifeMs)})`);
      const started = create(SessionStartedSchema, { session, account: account.id });
      await events.append(tx, call.with({ user: undefined, caller: account.id }), [{ stream: session, expectedVersion: 0, events: [started] }]);
    });
    return issue(needs, account, session, 1);
  };

/**
 * Gives new tokens for the newest refresh token of a session. An older one ends the session, because somebody else may have the newer one;
 * except for a request that was on its way when the newer one was made: two at a time get the same. Refuses with REFRESH_TOKEN_INVALID.
 */
export const refresh =
  (needs: Needs) =>
  async (token: string, call: Call): Promise<IssuedTokens> => {
    // Real time, not business time: it is compared between requests that overlap.
    const arrivedAt = new Date();
    const read = needs.secrets.readRefreshToken(token);
    if (read === undefined) throw refreshTokenInvalid();
    const { session: id, generation } = read;
    const verdict = await needs.database.transaction(async (tx) => {
      const at = needs.clock.now();
      const session = await tx.maybe<SessionRecord>(sql`select ${columns} from sessions where id = ${id} for no key update`);
      if (session === undefined || session.endedAt !== null || session.expiresAt <= at) return undefined;
      if (generation === session.generation - 1 && arrivedAt <= session.rotatedAt) return session;
      if (generation !== session.generation) {
        await end(needs, tx, session, "REFRESH_TOKEN_REUSED", call);
        needs.log.warn({ call, session: id, account: session.account }, "a refresh token was used twice; its session is ended");
        return undefined;
      }
      const next = { ...session, generation: generation + 1 };
      await tx.run(sql`update sessions set generation = ${next.generation}, rotated_at = ${new Date()}, last_used_at = ${at} where id = ${id}`);
      return next;
    });
    if (verdict === undefined) throw refreshTokenInvalid();
    return issue(needs, await readAccount(needs.database, verdict.account), id, verdict.generation);
  };

/** Ends a session of an account; nothing happens when it is ended or another's. */
export const endSession =
  (needs: Pick<Needs, "database" | "events" | "clock">) =>
  (id: string, account: string, cause: "LOGOUT" | "REVOKED", call: Call): Promise<void> =>
    needs.database.transaction(async (tx) => {
      const session = await tx.maybe<SessionRecord>(
        sql`select ${columns} from sessions where id = ${id} and account = ${account} and ended_at is null for no key update`,
      );
      if (session !== undefined) await end(needs, tx, session, cause, call);
    });

/** An account's live sessions, newest first. */
export const liveSessions =
  ({ database, clock }: Pick<Needs, "database" | "clock">) =>
  (account: string): Promise<SessionRecord[]> =>
    database.rows<SessionRecord>(
      sql`select ${columns} from sessions where account = ${account} and ended_at is null and expires_at > ${clock.now()} order by created_at desc, id desc limit 100`,
    );

async function end({ events, clock }: Pick<Needs, "events" | "clock">, tx: Transaction, session: SessionRecord, cause: string, call: Call): Promise<void> {
  await tx.run(sql`update sessions set ended_at = ${clock.now()}, cause = ${cause} where id = ${session.id}`);
  const ended = create(SessionEndedSchema, { session: session.id, account: session.account, cause });
  await events.append(tx, call, [{ stream: session.id, expectedVersion: 1, events: [ended] }]);
}

async function issue({ secrets, accessTokens }: Needs, account: AccountRecord, session: string, generation: number): Promise<IssuedTokens> {
  const accessToken = await accessTokens.sign({ account: account.id, session, roles: account.roles, verified: account.status === "VERIFIED" });
  return { accessToken, refreshToken: secrets.refreshToken(session, generation), expiresIn: accessTokenSeconds, tokenType: "Bearer" };
}

function refreshTokenInvalid(): Error {
  return refuse({ reason: "REFRESH_TOKEN_INVALID", code: "unauthenticated", message: "The refresh token is not good (any more)" });
}
