import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { sql } from "@kontor/platform/database/sql.ts";
import { decodeJwt } from "jose";
import { edgeCall, openIdentity, refusalOf, refusalsAmong, secondIdentity } from "./test-identity.ts";

const dayMs = 24 * 3_600_000;

describe("identity: sign-in", { concurrency: 4 }, () => {
  it("ID-02, S9: a wrong password and an unknown account are refused in the same words, and both after ten tries", async () => {
    const { join, login } = await openIdentity();
    await join("ann@shop.example");
    const refused = async (email: string) => {
      const refusals = [];
      for (let nth = 0; nth < 11; nth++) {
        const { reason, code, message, details, fields } = await refusalOf(login(email, "not the password"));
        refusals.push({ reason, code, message, details, fields });
      }
      return refusals;
    };
    const [known, unknown] = await Promise.all([refused("Ann@Shop.example"), refused("nobody@shop.example")]);
    assert.deepEqual(known, unknown);
    assert.deepEqual(
      known.map(({ reason }) => reason),
      [...Array.from({ length: 10 }, () => "CREDENTIALS_WRONG"), "TOO_MANY_TRIES"],
    );
    const { reason, retryAfterMs } = await refusalOf(login("ann@shop.example"));
    assert.equal(reason, "TOO_MANY_TRIES");
    assert.ok(retryAfterMs! > 0 && retryAfterMs! <= 900_000);
  });

  it("S9: of twenty guesses at the same time ten are checked, and a successful sign-in resets the count", async () => {
    const { join, login } = await openIdentity();
    await join("bo@shop.example");
    for (let nth = 0; nth < 9; nth++) await refusalOf(login("bo@shop.example", "a guess at it"));
    await login(" BO@shop.example ");
    const guesses = await Promise.all(Array.from({ length: 20 }, () => refusalOf(login("bo@shop.example", "a guess at it"))));
    assert.equal(guesses.filter(({ reason }) => reason === "CREDENTIALS_WRONG").length, 10);
    assert.equal(guesses.filter(({ reason }) => reason === "TOO_MANY_TRIES").length, 10);
  });

  it("ID-02: a password is the same however its letters were put together", async () => {
    const { join, login } = await openIdentity();
    await join("cy@shop.example", "Caf\u00e9 au lait");
    await login("cy@shop.example", "Cafe\u0301 au lait");
    assert.equal((await refusalOf(login("cy@shop.example", "Cafe au lait"))).reason, "CREDENTIALS_WRONG");
  });

  it("ID-04, S8: a refresh token works once; used again it is refused and ends its session, and no other", async () => {
    const { join, login, refresh, hosted, client, clock } = await openIdentity();
    const { id } = await join("di@shop.example");
    const [stolen, other] = [await login("di@shop.example"), await login("di@shop.example")];
    const second = await refresh(stolen.refreshToken);
    const third = await refresh(second.refreshToken);
    clock.advance(10_000);
    assert.equal(new Set([stolen.refreshToken, second.refreshToken, third.refreshToken]).size, 3);
    const reused = await refusalOf(refresh(second.refreshToken));
    assert.deepEqual([reused.reason, reused.code], ["REFRESH_TOKEN_INVALID", "unauthenticated"]);
    const dead = await refusalOf(refresh(third.refreshToken));
    assert.deepEqual(
      [dead.reason, dead.message, dead.details, dead.fields],
      [reused.reason, reused.message, reused.details, reused.fields],
    );
    const session = third.refreshToken.split(".")[0]!;
    const ended = (await hosted.log.history(hosted.database, session)).at(-1)!;
    assert.deepEqual([ended.type, (ended.data as unknown as { cause: string }).cause], ["identity.session.ended", "REFRESH_TOKEN_REUSED"]);
    await refresh(other.refreshToken);
    assert.equal((await client.listSessions({}, edgeCall({ id }))).items.length, 1);
  });

  it("ID-04: a token that was replaced long ago ends the session too", async () => {
    const { join, login, refresh } = await openIdentity();
    await join("ed@shop.example");
    const first = await login("ed@shop.example");
    let last = first;
    for (let nth = 0; nth < 3; nth++) last = await refresh(last.refreshToken);
    await refusalOf(refresh(first.refreshToken));
    assert.equal((await refusalOf(refresh(last.refreshToken))).reason, "REFRESH_TOKEN_INVALID");
  });

  it("S8: the same token again within ten seconds gets the same tokens, from any process; later, and an older one at once, ends the session", async () => {
    const app = await openIdentity();
    const second = await secondIdentity(app);
    await second.start();
    await app.join("eve@shop.example");
    const { refreshToken } = await app.login("eve@shop.example");
    const first = await app.refresh(refreshToken);
    app.clock.advance(9_999);
    const again = await second.client.refreshToken({ refreshToken }, edgeCall());
    assert.deepEqual(
      { ...again, accessToken: decodeJwt(again.accessToken) },
      { ...first, accessToken: decodeJwt(first.accessToken) },
      "as of the first time",
    );
    const next = await app.refresh(again.refreshToken);
    assert.equal((await refusalOf(app.refresh(refreshToken))).reason, "REFRESH_TOKEN_INVALID");
    assert.equal((await refusalOf(app.refresh(next.refreshToken))).reason, "REFRESH_TOKEN_INVALID");
    const other = await app.login("eve@shop.example");
    await app.refresh(other.refreshToken);
    app.clock.advance(10_000);
    assert.equal((await refusalOf(app.refresh(other.refreshToken))).reason, "REFRESH_TOKEN_INVALID");
    assert.deepEqual(await app.hosted.database.rows(sql`select from sessions`), []);
  });

  it("S8: refreshes at the same time get the same successor, which is good", async () => {
    const { join, login, refresh, client } = await openIdentity();
    const { id } = await join("fay@shop.example");
    const { refreshToken } = await login("fay@shop.example");
    const renewed = await Promise.all(Array.from({ length: 5 }, () => refresh(refreshToken)));
    assert.equal(new Set(renewed.map((tokens) => tokens.refreshToken)).size, 1);
    await refresh(renewed[4]!.refreshToken);
    assert.equal((await client.listSessions({}, edgeCall({ id }))).items.length, 1);
  });

  it("S8: two at the same time in two processes get the same successor", async () => {
    const app = await openIdentity();
    const second = await secondIdentity(app);
    await second.start();
    await app.join("gil@shop.example");
    const { refreshToken } = await app.login("gil@shop.example");
    const { database } = app.hosted;
    const [locked, free] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const holding = database.transaction(async (tx) => {
      await tx.run(sql`select from sessions for update`);
      locked.resolve();
      await free.promise;
    });
    await locked.promise;
    const both = Promise.all([app.refresh(refreshToken), second.client.refreshToken({ refreshToken }, edgeCall())]);
    const waiting = sql`select count(*)::int as count from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`;
    while ((await database.one<{ count: number }>(waiting)).count < 2) continue;
    free.resolve();
    await holding;
    const [one, other] = await both;
    assert.equal(one.refreshToken, other.refreshToken);
    await app.refresh(one.refreshToken);
  });

  it("S8: forged, foreign and broken refresh tokens are refused in the same words and end nothing", async () => {
    const app = await openIdentity();
    const elsewhere = await openIdentity();
    await Promise.all([app.join("hal@shop.example"), elsewhere.join("hal@shop.example")]);
    const { refreshToken, accessToken } = await app.login("hal@shop.example");
    const foreign = await elsewhere.login("hal@shop.example");
    const [session, generation, mac] = refreshToken.split(".") as [string, string, string];
    const forged = [
      foreign.refreshToken,
      accessToken,
      `${session}.2.${mac}`,
      `${session}.0.${mac}`,
      `${session}.999999999.${mac}`,
      `${session.slice(0, -1)}${session.endsWith("z") ? "y" : "z"}.${generation}.${mac}`,
      `${session}.${generation}.${mac.startsWith("A") ? "B" : "A"}${mac.slice(1)}`,
      `${session}.${generation}`,
      `${refreshToken}\n`,
      ` ${refreshToken}`,
      "x",
    ];
    for (const token of forged) {
      const { reason, code, message } = await refusalOf(app.refresh(token));
      // An access token is longer than a refresh token may be.
      if (token === accessToken) assert.equal(reason, "INVALID_REQUEST");
      else
        assert.deepEqual(
          [reason, code, message],
          ["REFRESH_TOKEN_INVALID", "unauthenticated", "The refresh token is not valid (any more)"],
          token,
        );
    }
    await app.refresh(refreshToken);
  });

  it("ID-04: a session lasts thirty days, however often it is refreshed; then it is swept", async () => {
    const { join, login, refresh, clock, client, hosted } = await openIdentity();
    const { id } = await join("ida@shop.example");
    const { refreshToken } = await login("ida@shop.example");
    clock.advance(30 * dayMs - 1);
    const last = await refresh(refreshToken);
    clock.advance(1);
    assert.equal((await refusalOf(refresh(last.refreshToken))).reason, "REFRESH_TOKEN_INVALID");
    assert.equal((await client.listSessions({}, edgeCall({ id }))).items.length, 0);
    await login("ida@shop.example");
    clock.advance(3_600_000);
    await hosted.tasks.idle();
    assert.deepEqual(await hosted.database.one(sql`select count(*)::int as count from sessions`), { count: 1 });
  });

  it("S11: logging out ends the session at once and for good, and a second time is fine", async () => {
    const { join, login, refresh, client } = await openIdentity();
    const { id } = await join("jon@shop.example");
    const { refreshToken } = await login("jon@shop.example");
    const session = refreshToken.split(".")[0]!;
    await client.logout({}, edgeCall({ id, session }));
    await Promise.all([client.logout({}, edgeCall({ id, session })), client.logout({}, edgeCall({ id, session }))]);
    assert.equal((await refusalOf(refresh(refreshToken))).reason, "REFRESH_TOKEN_INVALID");
  });

  it("ID-06, ID-14: sessions are listed and ended by their own account only", async () => {
    const { join, login, refresh, client, clock } = await openIdentity();
    const [ann, bo] = [await join("ann@shop.example"), await join("bo@shop.example")];
    const first = await login("ann@shop.example");
    clock.advance(60_000);
    const second = await login("ann@shop.example");
    await login("bo@shop.example");
    const [old, current] = [first.refreshToken.split(".")[0]!, second.refreshToken.split(".")[0]!];
    const own = edgeCall({ id: ann.id, session: current });
    const { items } = await client.listSessions({}, own);
    assert.deepEqual(
      items.map((item) => [item.id, item.current]),
      [
        [current, true],
        [old, false],
      ],
    );
    await client.deleteSession({ session: old }, edgeCall({ id: bo.id }));
    assert.equal((await client.listSessions({}, own)).items.length, 2);
    await Promise.all(Array.from({ length: 3 }, () => client.deleteSession({ session: old }, own)));
    assert.deepEqual(
      (await client.listSessions({}, own)).items.map(({ id }) => id),
      [current],
    );
    assert.equal((await refusalOf(refresh(first.refreshToken))).reason, "REFRESH_TOKEN_INVALID");
    await refresh(second.refreshToken);
    const anonymous = await Promise.allSettled([
      client.listSessions({}, edgeCall()),
      client.logout({}, edgeCall()),
      client.getMe({}, edgeCall()),
    ]);
    assert.deepEqual(
      refusalsAmong(anonymous).map(({ reason }) => reason),
      ["UNAUTHENTICATED", "UNAUTHENTICATED", "UNAUTHENTICATED"],
    );
  });
});
