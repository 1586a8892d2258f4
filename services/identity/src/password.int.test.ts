import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createMemoryCache } from "@kontor/platform/cache/memory.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import { sessionKey } from "@kontor/platform/rpc/session-state.ts";
import { testCall } from "@kontor/platform/testing/test-services.ts";
import { edgeCall, openIdentity, refusalOf, refusalsAmong } from "./test-identity.ts";

const [old, next] = ["the old password", "the new password"];

/** Identity, and Ann with two sessions. */
async function open() {
  const cache = createMemoryCache({ maxEntries: 1_000 });
  const app = await openIdentity({ cache });
  const { id, email } = await app.join("ann@shop.example", old);
  const signIn = async (password: string) => {
    const { refreshToken } = await app.login(email, password);
    const session = refreshToken.split(".")[0]!;
    return { refreshToken, session, call: edgeCall({ id, session }) };
  };
  const [one, two] = [await signIn(old), await signIn(old)];
  app.clock.advance(60_000);
  return {
    ...app,
    id,
    email,
    one,
    two,
    signIn,
    stateOf: ({ session }: { readonly session: string }) => cache.get(sessionKey(session)),
    linkOf: async (to: string) => {
      await app.client.resetPassword({ email: to }, edgeCall());
      return (await app.resetsOf()).at(-1)!;
    },
  };
}

describe("identity: passwords", { concurrency: 4 }, () => {
  it("S11: changing it needs the current one, and ends all other sessions and the links to reset it", async () => {
    const app = await open();
    const { client, one, two, signIn, linkOf, stateOf, email, hosted, id } = app;
    const token = await linkOf(email);
    const change = (currentPassword: string, newPassword = next) => client.changePassword({ currentPassword, newPassword }, one.call);
    const { reason, code, fields } = await refusalOf(change("not the password"));
    assert.deepEqual([reason, code, fields[0]?.field], ["PASSWORD_WRONG", "invalid_argument", "currentPassword"]);
    assert.equal((await refusalOf(change(old, "short"))).fields[0]?.field, "newPassword");
    assert.equal((await refusalOf(client.changePassword({ currentPassword: old, newPassword: next }, edgeCall()))).code, "unauthenticated");
    await app.refresh(two.refreshToken);
    await change(old);
    assert.deepEqual([await stateOf(one), await stateOf(two)], [undefined, "ended"]);
    assert.equal((await refusalOf(app.refresh(two.refreshToken))).reason, "REFRESH_TOKEN_INVALID");
    await app.refresh(one.refreshToken);
    assert.equal((await refusalOf(signIn(old))).reason, "CREDENTIALS_WRONG");
    await signIn(next);
    assert.equal((await refusalOf(client.confirmPasswordReset({ token, password: old }, edgeCall()))).reason, "RESET_TOKEN_INVALID");
    assert.equal((await hosted.log.history(hosted.database, id)).at(-1)?.type, "identity.account.password_changed");
  });

  it("S9: who has only the access token cannot try out passwords by changing them", async () => {
    const { client, one } = await open();
    const change = (currentPassword: string) => refusalOf(client.changePassword({ currentPassword, newPassword: next }, one.call));
    const reasons = (await Promise.all(Array.from({ length: 12 }, () => change("a guess at it")))).map(({ reason }) => reason);
    assert.equal(reasons.filter((reason) => reason === "PASSWORD_WRONG").length, 10);
    assert.equal((await change(old)).reason, "TOO_MANY_TRIES");
  });

  it("S11: a sign-in with the old password that is under way when it changes gets no session", async () => {
    const { hosted, signIn, id } = await open();
    const { database } = hosted;
    const [changed, free] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const changing = database.transaction(async (tx) => {
      await tx.run(sql`update accounts set password_hash = 'another' where id = ${id}`);
      changed.resolve();
      await free.promise;
    });
    await changed.promise;
    const late = refusalOf(signIn(old));
    const waiting = sql`select count(*)::int as count from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
    while ((await database.one<{ count: number }>(waiting)).count < 1) continue;
    free.resolve();
    await changing;
    assert.equal((await late).reason, "CREDENTIALS_WRONG");
    assert.equal((await database.rows(sql`select from sessions where account = ${id}`)).length, 2);
  });

  it("S10, S11: a mailed link sets it once, ends all sessions, and is stored as a hash only", async () => {
    const app = await open();
    const { client, one, two, signIn, linkOf, stateOf, email } = app;
    const token = await linkOf(email);
    assert.match(token, /^[A-Za-z0-9_-]{43}$/);
    assert.equal((await app.dump()).includes(token), false);
    const confirm = (password: string, with_ = token) => client.confirmPasswordReset({ token: with_, password }, edgeCall());
    assert.equal((await refusalOf(confirm("short"))).reason, "INVALID_REQUEST");
    const outcomes = await Promise.allSettled(["first of them", "second of them", "third of them"].map((password) => confirm(password)));
    assert.deepEqual(
      refusalsAmong(outcomes).map(({ reason }) => reason),
      ["RESET_TOKEN_INVALID", "RESET_TOKEN_INVALID"],
    );
    assert.deepEqual([await stateOf(one), await stateOf(two)], ["ended", "ended"]);
    for (const { refreshToken } of [one, two]) assert.equal((await refusalOf(app.refresh(refreshToken))).reason, "REFRESH_TOKEN_INVALID");
    await signIn(["first of them", "second of them", "third of them"][outcomes.findIndex(({ status }) => status === "fulfilled")]!);
    for (const wrong of [token, `${token.slice(0, -1)}A`, "x"])
      assert.equal((await refusalOf(confirm(next, wrong))).reason, "RESET_TOKEN_INVALID");
  });

  it("S9, S10: whoever has used a link signs in with the new password at once, whatever was tried before and by whom", async () => {
    const { client, linkOf, email } = await open();
    const from = (origin: string) => edgeCall().with({ origin });
    const signIn = (origin: string, password: string) => client.login({ email, password }, from(origin));
    const guess = (origin: string, password = "a guess at it") => refusalOf(signIn(origin, password));
    const stranger = from("new phone");
    for (let nth = 0; nth < 10; nth++) await guess("new phone");
    assert.equal((await guess("new phone", old)).reason, "TOO_MANY_TRIES");
    for (let nth = 0; nth < 40; nth++) await guess(`bot ${nth}`);
    assert.equal((await guess("another phone", old)).reason, "TOO_MANY_TRIES");
    await client.confirmPasswordReset({ token: await linkOf(email), password: next }, stranger);
    await signIn("new phone", next);
    assert.equal((await guess("another phone", next)).reason, "TOO_MANY_TRIES");
  });

  it("S10: a link is good for an hour, and no longer when another was used", async () => {
    const { client, clock, linkOf, email, signIn } = await open();
    const early = await linkOf(email);
    clock.advance(60_000);
    const late = await linkOf(email);
    clock.advance(3_600_000 - 60_000);
    const confirm = (token: string) => client.confirmPasswordReset({ token, password: next }, edgeCall());
    assert.equal((await refusalOf(confirm(early))).reason, "RESET_TOKEN_INVALID");
    const last = await linkOf(email);
    await confirm(late);
    await signIn(next);
    assert.equal((await refusalOf(confirm(last))).reason, "RESET_TOKEN_INVALID");
  });

  it("S9: asking for a link gets the same response for an address without an account, to which nothing is sent; one a minute", async () => {
    const { client, clock, hosted, register } = await open();
    await register("pending@shop.example");
    clock.advance(60_000);
    const outcomes = await Promise.all(
      ["ann@shop.example", "nobody@shop.example", "pending@shop.example"].map(async (email) => {
        const { nextAt } = await client.resetPassword({ email }, edgeCall());
        const again = await refusalOf(client.resetPassword({ email: ` ${email.toUpperCase()}` }, edgeCall()));
        return [nextAt, again.reason, again.message, again.retryAfterMs];
      }),
    );
    assert.equal(outcomes[0]?.[1], "RESET_TOO_SOON");
    assert.deepEqual([outcomes[1], outcomes[2]], [outcomes[0], outcomes[0]]);
    const resets = await hosted.database.rows<{ id: string }>(sql`select id from password_resets where id like 'rst%' order by email_key`);
    const mails = await Promise.allSettled(resets.map(({ id }) => client.getPasswordResetMail({ reset: id }, testCall())));
    assert.deepEqual(
      mails.map((mail) => (mail.status === "fulfilled" ? mail.value.contact?.email : "nothing to send")),
      ["ann@shop.example", "nothing to send", "nothing to send"],
    );
    assert.deepEqual(
      refusalsAmong(mails).map(({ reason }) => reason),
      ["NOT_FOUND", "NOT_FOUND"],
    );
  });

  it("S10: the link's page shows a form, uses nothing up, and sets the password once", async () => {
    const { client, linkOf, email, signIn } = await open();
    const token = await linkOf(email);
    const text = ({ body }: { readonly body: Uint8Array }) => Buffer.from(body).toString();
    const show = async () => text(await client.showResetPage({ token }, edgeCall()));
    const submit = async (fields: Record<string, string>) =>
      text(await client.submitResetPage({ token, body: Buffer.from(new URLSearchParams(fields).toString()) }, edgeCall()));
    for (let nth = 0; nth < 2; nth++) assert.match(await show(), /<form method="post">/);
    for (const fields of [{}, { password: "short" }, { password: "x".repeat(129) }, { password: "nul\0nul\0nul" }])
      assert.match(await submit(fields), /8 to 128 characters/);
    assert.match(await submit({ password: "Passwörter & mehr" }), /Your password is changed/);
    await signIn("Passwörter & mehr");
    for (const page of [await show(), await submit({ password: next })]) assert.match(page, /not good any more/);
  });
});
