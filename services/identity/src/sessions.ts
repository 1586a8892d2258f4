import { create } from "@bufbuild/protobuf";
import { SessionEndedSchema, SessionStartedSchema } from "@kontor/contracts/gen/kontor/identity/v1/events_pb.js";
import type { LoginRequest } from "@kontor/contracts/gen/kontor/identity/v1/identity_pb.js";
import type { Transaction } from "@kontor/platform/database/database.ts";
import type { ReadYourWrites } from "@kontor/platform/database/read-your-writes.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import { emailAddress } from "@kontor/platform/contract/email-address.ts";
import type { ServiceContext } from "@kontor/platform/service/service.ts";
import { accessTokenSeconds } from "./access-tokens.ts";
import type { AccessTokens, TokenClaims } from "./access-tokens.ts";
import { findAccountByEmail } from "./account-store.ts";
import type { AccountRecord } from "./account-store.ts";
import type { AnnounceEnded } from "./ended-sessions.ts";
import type { Passwords } from "./passwords.ts";
import { sessionLifeMs } from "./retention.ts";
import type { Secrets } from "./secrets.ts";

type Needs = Pick<ServiceContext, "database" | "events" | "clock" | "ids" | "log"> & {
  readonly secrets: Secrets;
  readonly passwords: Passwords;
  readonly accessTokens: AccessTokens;
  readonly announceEnded: AnnounceEnded;
  readonly own: ReadYourWrites;
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
  readonly createdAt: Date;
  readonly lastUsedAt: Date;
  readonly expiresAt: Date;
}

/** How long a refresh token that was replaced gets what it was replaced by. */
const graceMs = 10_000;
const columns = sql`s.id, s.account, s.generation, s.created_at as "createdAt", s.last_used_at as "lastUsedAt", s.expires_at as "expiresAt"`;

/** Signs in. Refuses with CREDENTIALS_WRONG, in the same words and time whether the account exists. */
export const login =
  (needs: Needs) =>
  async ({ email, password }: LoginRequest, call: Call): Promise<IssuedTokens> => {
    const { database, events, clock, ids, passwords } = needs;
    const account = await findAccountByEmail(database, emailAddress(email).key);
    if (!(await passwords.matches(account?.passwordHash, password, call)) || account === undefined) throw credentialsWrong();
    const at = clock.now();
    const session = ids.next("ses");
    const started = create(SessionStartedSchema, { session, account: account.id });
    const happened = [{ stream: session, expectedVersion: 0, events: [started] }];
    await database.transaction(async (tx) => {
      // A password that is being changed, which ends the sessions, is waited for: none begins by the old one afterwards.
      const current = await tx.maybe(
        sql`select from accounts where id = ${account.id} and password_hash = ${account.passwordHash} for share`,
      );
      if (current === undefined) throw credentialsWrong();
      await tx.run(sql`with
        recorded as (${events.appendSql(call.with({ user: undefined, caller: account.id }), happened)})
        insert into sessions (id, account, generation, created_at, last_used_at, expires_at)
        values (${session}, ${account.id}, 1, ${at}, ${at}, ${new Date(at.getTime() + sessionLifeMs)})`);
    });
    events.wake(happened);
    await needs.own.written(account.id);
    return issue(needs, { ...claimsOf(account), session }, { generation: 1, at });
  };

/**
 * Gives new tokens for the newest refresh token of a session. The one before gets the same again for ten seconds, because a response may have been
 * lost, or two requests of a device crossed; what that token holds is all that is known of the device. Later, or an older one, ends the session,
 * because somebody else may have the newer one. Refuses with REFRESH_TOKEN_INVALID.
 */
export const refresh =
  (needs: Needs) =>
  (token: string, call: Call): Promise<IssuedTokens> =>
    renew(needs, token, call);

async function renew(needs: Needs, token: string, call: Call): Promise<IssuedTokens> {
  const { database, clock, log, secrets, announceEnded } = needs;
  const read = secrets.readRefreshToken(token);
  if (read === undefined) throw refreshTokenInvalid();
  const { session: id, generation } = read;
  const renewed = await database.transaction(async (tx) => {
    const at = clock.now();
    const session = await tx.maybe<Pick<SessionRecord, "account" | "generation" | "lastUsedAt" | "expiresAt"> & ClaimsRow>(
      sql`select s.account, s.generation, s.last_used_at as "lastUsedAt", s.expires_at as "expiresAt", a.roles, a.status
        from sessions s join accounts a on a.id = s.account and a.status = 'VERIFIED' where s.id = ${id} for no key update of s`,
    );
    if (session === undefined || session.expiresAt <= at) return undefined;
    const { account, generation: newest, lastUsedAt } = session;
    const claims = { ...claimsOf({ ...session, id: account }), session: id };
    // As of then: the end of a session is announced for as long as tokens issued at its last use live.
    if (generation === newest - 1 && at.getTime() - lastUsedAt.getTime() < graceMs) return { claims, generation: newest, at: lastUsedAt };
    if (generation !== newest) {
      await end(needs, tx, { id, account }, "REFRESH_TOKEN_REUSED", call);
      log.warn({ call, session: id, account }, "a refresh token was used twice; its session is ended");
      return session;
    }
    await tx.run(
      // Processes of the version before compare rotated_at.
      sql`update sessions set generation = ${newest + 1}, rotated_at = clock_timestamp(), last_used_at = ${at} where id = ${id}`,
    );
    return { claims, generation: newest + 1, at };
  });
  if (renewed === undefined) throw refreshTokenInvalid();
  if (!("claims" in renewed)) {
    await announceEnded(id, renewed.lastUsedAt);
    throw refreshTokenInvalid();
  }
  await needs.own.written(renewed.claims.account);
  return issue(needs, renewed.claims, renewed);
}

/**
 * Ends a session of an account, and resolves when no gateway accepts its access tokens any more. Nothing happens when it is another's; when it
 * has ended already that is announced again, because the process that ended it may have stopped before it announced that.
 */
export const endSession =
  (needs: Pick<Needs, "database" | "events" | "announceEnded">) =>
  async (id: string, account: string, cause: "LOGOUT" | "REVOKED", call: Call): Promise<void> => {
    const session = await needs.database.transaction(async (tx) => {
      const found = await tx.maybe<Pick<SessionRecord, "account" | "lastUsedAt">>(
        sql`select account, last_used_at as "lastUsedAt" from sessions where id = ${id} for update`,
      );
      if (found?.account === account) await end(needs, tx, { id, account }, cause, call);
      return found;
    });
    if (session === undefined || session.account === account) await needs.announceEnded(id, session?.lastUsedAt);
  };

/** Those of these sessions that are live. */
export const checkSessions =
  ({ database, clock }: Pick<Needs, "database" | "clock">) =>
  async (ids: readonly string[]): Promise<string[]> => {
    const live = await database.rows<Pick<SessionRecord, "id">>(
      sql`select id from sessions where id = any(${ids}) and expires_at > ${clock.now()}`,
    );
    return live.map(({ id }) => id);
  };

/** An account's live sessions, newest first, a hundred at most. */
export const liveSessions =
  ({ own, clock }: Pick<Needs, "own" | "clock">) =>
  async (account: string): Promise<SessionRecord[]> =>
    (await own.reads(account)).rows<SessionRecord>(
      sql`select ${columns} from sessions s where s.account = ${account} and s.expires_at > ${clock.now()} order by s.created_at desc, s.id desc limit 100`,
    );

/** Ends a session that is locked. Only its event remains. */
async function end(
  { events }: Pick<Needs, "events">,
  tx: Transaction,
  { id, account }: Pick<SessionRecord, "id" | "account">,
  cause: string,
  call: Call,
): Promise<void> {
  await tx.run(sql`delete from sessions where id = ${id}`);
  await events.append(tx, call, [
    { stream: id, expectedVersion: 1, events: [create(SessionEndedSchema, { session: id, account, cause })] },
  ]);
}

export type EndedSession = Pick<SessionRecord, "id" | "lastUsedAt">;

/** Ends an account's sessions but for one, and gives those that ended, to be announced after the commit. */
export async function endSessions(
  { events }: Pick<Needs, "events">,
  tx: Transaction,
  { account, keeps = "" }: { readonly account: string; readonly keeps?: string },
  call: Call,
): Promise<readonly EndedSession[]> {
  const ended = await tx.rows<EndedSession>(
    sql`delete from sessions where account = ${account} and id <> ${keeps} returning id, last_used_at as "lastUsedAt"`,
  );
  if (ended.length > 0)
    await events.append(
      tx,
      call,
      ended.map(({ id: session }) => ({
        stream: session,
        expectedVersion: 1,
        events: [create(SessionEndedSchema, { session, account, cause: "PASSWORD_CHANGED" })],
      })),
    );
  return ended;
}

type ClaimsRow = Pick<AccountRecord, "roles" | "status">;

function claimsOf({ id, roles, status }: ClaimsRow & Pick<AccountRecord, "id">): Omit<TokenClaims, "session"> {
  return { account: id, roles, verified: status === "VERIFIED" };
}

/** The tokens of a generation that began at a time: the same again, whenever they are issued. */
async function issue(
  { secrets, accessTokens }: Needs,
  claims: TokenClaims,
  { generation, at }: { readonly generation: number; readonly at: Date },
): Promise<IssuedTokens> {
  return {
    accessToken: await accessTokens.sign(claims, at),
    refreshToken: secrets.refreshToken(claims.session, generation),
    expiresIn: accessTokenSeconds,
    tokenType: "Bearer",
  };
}

function credentialsWrong(): Error {
  return refuse({ reason: "CREDENTIALS_WRONG", code: "unauthenticated", message: "The e-mail address or the password is wrong" });
}

function refreshTokenInvalid(): Error {
  return refuse({ reason: "REFRESH_TOKEN_INVALID", code: "unauthenticated", message: "The refresh token is not valid (any more)" });
}
