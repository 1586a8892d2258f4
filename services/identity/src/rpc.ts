import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { IdentityService } from "@kontor/contracts/gen/kontor/identity/v1/identity_pb.js";
import type { Call } from "@kontor/platform/call/call.ts";
import { emailAddress } from "@kontor/platform/contract/email-address.ts";
import type { EmailKey } from "@kontor/platform/contract/email-address.ts";
import { readYourWrites } from "@kontor/platform/database/read-your-writes.ts";
import { implement } from "@kontor/platform/rpc/rpc.ts";
import type { Route } from "@kontor/platform/rpc/rpc.ts";
import type { ServiceContext } from "@kontor/platform/service/service.ts";
import type { AccessTokens } from "./access-tokens.ts";
import { accountLookup, accountMessage, emailDigest, readAccount } from "./account-store.ts";
import type { AccountRecord } from "./account-store.ts";
import type { Passwords } from "./passwords.ts";
import { changePassword } from "./change-password.ts";
import { createAccount, register, resendVerification } from "./register.ts";
import { showResetPage, submitResetPage } from "./reset-page.ts";
import { confirmReset, resetMail, resetPassword } from "./reset-password.ts";
import type { Secrets } from "./secrets.ts";
import { announceEnded } from "./ended-sessions.ts";
import { verificationMail, verifyEmail } from "./verify-email.ts";
import { checkSessions, endSession, liveSessions, login, refresh } from "./sessions.ts";
import { changeTries, codeTries, createTries, loginTries } from "./tries.ts";

type Needs = ServiceContext & { readonly secrets: Secrets; readonly passwords: Passwords; readonly accessTokens: AccessTokens };

export function identityRoute(context: Needs): Route {
  const { database, accessTokens } = context;
  const own = readYourWrites(context);
  const signIns = createTries(context.cache, loginTries);
  const codes = createTries(context.cache, codeTries);
  const changes = createTries(context.cache, changeTries);
  const recognise = (key: EmailKey, call: Call) => signIns.recognise(emailDigest(key), call);
  const needs = { ...context, announceEnded: announceEnded(context), own, recognise };
  const signUp = register(needs);
  const make = createAccount(needs);
  const verify = verifyEmail(needs);
  const resend = resendVerification(needs);
  const mailOf = verificationMail(needs);
  const signIn = login(needs);
  const renew = refresh(needs);
  const endOne = endSession(needs);
  const live = liveSessions(needs);
  const check = checkSessions(needs);
  const change = changePassword(needs);
  const resetting = resetPassword(needs);
  const confirm = confirmReset(needs);
  const linkOf = resetMail(needs);
  const show = showResetPage(needs);
  const submit = submitResetPage(needs);
  const find = accountLookup(database);
  const digestOf = ({ email }: { readonly email: string }) => emailDigest(emailAddress(email).key);
  const pageOf = (text: string) => ({ contentType: "text/html; charset=utf-8", body: Buffer.from(text) });
  const contact = ({ id, email, name }: Pick<AccountRecord, "id" | "email" | "name">) => ({ account: id, email, name });

  return implement(IdentityService, {
    register: async (request, call) => accountMessage(await signUp(request, call)),
    verifyEmail: async (request, call) => {
      const account = await codes.attempt(digestOf(request), call, () => verify(request, call));
      await recognise(emailAddress(request.email).key, call);
      await own.written(account.id);
      return accountMessage(account);
    },
    resendVerification: async (request, call) => ({ nextAt: timestampFromDate(await resend(request, call)) }),
    login: (request, call) => signIns.attempt(digestOf(request), call, () => signIn(request, call)),
    refreshToken: ({ refreshToken }, call) => renew(refreshToken, call),
    logout: async (_, call) => {
      const { id, session } = call.signedIn();
      await endOne(session, id, "LOGOUT", call);
      await own.written(id);
      return {};
    },
    changePassword: async (request, call) => {
      const { id } = call.signedIn();
      await changes.attempt(id, call, () => change(request, call));
      await own.written(id);
      return {};
    },
    resetPassword: async ({ email }, call) => ({ nextAt: timestampFromDate(await resetting(email, call)) }),
    confirmPasswordReset: async (request, call) => {
      await confirm(request, call);
      return {};
    },
    showResetPage: async ({ token }) => pageOf(await show(token)),
    submitResetPage: async ({ token, body }, call) => pageOf(await submit(token, body, call)),
    getMe: async (_, call) => {
      const { id } = call.signedIn();
      return accountMessage(await readAccount(await own.reads(id), id));
    },
    listSessions: async (_, call) => {
      const { id, session } = call.signedIn();
      return {
        items: (await live(id)).map((one) => ({
          id: one.id,
          createdAt: timestampFromDate(one.createdAt),
          lastUsedAt: timestampFromDate(one.lastUsedAt),
          expiresAt: timestampFromDate(one.expiresAt),
          current: one.id === session,
        })),
      };
    },
    deleteSession: async ({ session }, call) => {
      const { id } = call.signedIn();
      await endOne(session, id, "REVOKED", call);
      await own.written(id);
      return {};
    },
    getJwks: async () => ({ keys: [...accessTokens.publicKeys()] }),
    checkSessions: async ({ sessions }) => ({ live: await check(sessions) }),
    createAccount: async (request, call) => accountMessage(await make(request, call)),
    getContact: async ({ account }, call) => contact(await find(account, call)),
    getVerificationMail: async ({ verification }) => {
      const { to, expiresAt, ...secret } = await mailOf(verification);
      return { contact: contact(to), expiresAt: timestampFromDate(expiresAt), ...secret };
    },
    getPasswordResetMail: async ({ reset }) => {
      const { to, token, expiresAt } = await linkOf(reset);
      return { contact: contact(to), token, expiresAt: timestampFromDate(expiresAt) };
    },
  });
}
