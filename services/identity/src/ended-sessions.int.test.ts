import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createMemoryCache } from "@kontor/platform/cache/memory.ts";
import type { Cache } from "@kontor/platform/cache/cache.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import { sessionKey } from "@kontor/platform/rpc/session-state.ts";
import { decodeJwt } from "jose";
import { edgeCall, openIdentity, refusalOf, secondIdentity } from "./test-identity.ts";

interface Announcement {
  readonly key: string;
  readonly value: unknown;
  readonly ttlMs: number;
  /** Whether the session was deleted from the database by then. */
  readonly deleted: boolean;
}

/** Identity, and what it has set in the cache. */
async function open() {
  const announced: Announcement[] = [];
  const memory = createMemoryCache({ maxEntries: 1_000 });
  const cache: Cache = {
    ...memory,
    set: async (key, value, ttlMs) => {
      const [, session = ""] = key.split(":");
      if (!key.startsWith("session:")) return memory.set(key, value, ttlMs);
      const found = await app.hosted.database.maybe(sql`select from sessions where id = ${session}`);
      announced.push({ key, value, ttlMs, deleted: found === undefined });
      await memory.set(key, value, ttlMs);
    },
  };
  const app = await openIdentity({ cache });
  const signIn = async (email: string) => {
    const tokens = await app.login(email);
    return { ...tokens, session: tokens.refreshToken.split(".")[0]!, expiresMs: decodeJwt(tokens.accessToken).exp! * 1000 };
  };
  return { ...app, announced, signIn };
}

describe("identity: sessions that have ended", { concurrency: 4 }, () => {
  it("ID-05: each way of ending one is announced after its commit and before the response, for no longer than its newest token lives", async () => {
    const app = await open();
    const { client, clock, announced, cache } = app;
    const { id } = await app.join("ann@shop.example");
    const [one, two, three] = [
      await app.signIn("ann@shop.example"),
      await app.signIn("ann@shop.example"),
      await app.signIn("ann@shop.example"),
    ];
    assert.equal(announced.length, 0);
    clock.advance(100_400);
    await client.logout({}, edgeCall({ id, session: one.session }));
    await client.deleteSession({ session: two.session }, edgeCall({ id, session: three.session }));
    const renewed = await app.refresh(three.refreshToken);
    clock.advance(10_000);
    assert.equal((await refusalOf(app.refresh(three.refreshToken))).reason, "REFRESH_TOKEN_INVALID");
    assert.deepEqual(
      announced.map(({ key, value, deleted }) => [key, value, deleted]),
      [one, two, three].map(({ session }) => [sessionKey(session), "ended", true]),
    );
    const restsMs = [one.expiresMs - 10_000, two.expiresMs - 10_000, decodeJwt(renewed.accessToken).exp! * 1000].map(
      (expiresMs) => expiresMs - clock.now().getTime(),
    );
    for (const [nth, { ttlMs }] of announced.entries()) {
      const restMs = restsMs[nth]! + (nth < 2 ? 20_000 : 0);
      assert.ok(ttlMs > 0 && ttlMs <= restMs, `${ttlMs} of ${restMs}`);
    }
    assert.equal(await cache.get(sessionKey(one.session)), "ended");
  });

  it("ID-05: what was not ended is not announced: another's session, a session that is refreshed, an id that is none", async () => {
    const { announced, client, refresh, ...app } = await open();
    const [ann, bo] = [await app.join("ann@shop.example"), await app.join("bo@shop.example")];
    const own = await app.signIn("ann@shop.example");
    await client.deleteSession({ session: own.session }, edgeCall({ id: bo.id }));
    await refresh(own.refreshToken);
    for (const session of ["x", "ses_", `${own.session}x`, "rate:catalog:usr_1"])
      await client.deleteSession({ session }, edgeCall({ id: ann.id, session: own.session }));
    assert.equal(announced.length, 0);
  });

  it("ID-05: one that has ended before is announced again, because the process that ended it may have crashed before that", async () => {
    const { announced, client, ...app } = await open();
    const { id } = await app.join("ann@shop.example");
    const { session } = await app.signIn("ann@shop.example");
    await Promise.all([1, 2].map(() => client.logout({}, edgeCall({ id, session }))));
    assert.deepEqual(
      announced.map(({ key, deleted }) => [key, deleted]),
      [
        [sessionKey(session), true],
        [sessionKey(session), true],
      ],
    );
  });

  it("ID-05: the gateway reads which sessions are live, and no client can", async () => {
    const { edge, client, clock, ...app } = await open();
    const { id } = await app.join("ann@shop.example");
    const [one, two] = [await app.signIn("ann@shop.example"), await app.signIn("ann@shop.example")];
    await client.logout({}, edgeCall({ id, session: two.session }));
    const check = async () => (await edge.checkSessions({ sessions: [one.session, two.session, "ses_none"] }, edgeCall())).live;
    assert.deepEqual(await check(), [one.session]);
    assert.deepEqual((await edge.checkSessions({ sessions: [] }, edgeCall())).live, []);
    clock.advance(30 * 86_400_000);
    assert.deepEqual(await check(), []);
    const { reason } = await refusalOf(edge.checkSessions({ sessions: Array.from({ length: 501 }, () => one.session) }, edgeCall()));
    assert.equal(reason, "INVALID_REQUEST");
  });

  it("ID-06: sessions survive a restart: another process on the same database lists them, ends them and announces that", async () => {
    const app = await open();
    const { id } = await app.join("ann@shop.example");
    const [one, two] = [await app.signIn("ann@shop.example"), await app.signIn("ann@shop.example")];
    const cache = createMemoryCache({ maxEntries: 100 });
    const next = await secondIdentity(app, { cache });
    await next.start();
    const own = edgeCall({ id, session: one.session });
    const listed = async () => (await next.client.listSessions({}, own)).items.map((item) => [item.id, item.current]);
    assert.deepEqual(await listed(), [
      [two.session, false],
      [one.session, true],
    ]);
    await next.client.deleteSession({ session: two.session }, own);
    assert.deepEqual(await listed(), [[one.session, true]]);
    assert.equal(await cache.get(sessionKey(two.session)), "ended");
    assert.deepEqual((await app.edge.checkSessions({ sessions: [one.session, two.session] }, edgeCall())).live, [one.session]);
    assert.equal((await next.client.refreshToken({ refreshToken: one.refreshToken }, edgeCall())).tokenType, "Bearer");
    assert.equal(
      (await refusalOf(next.client.refreshToken({ refreshToken: two.refreshToken }, edgeCall()))).reason,
      "REFRESH_TOKEN_INVALID",
    );
  });
});
