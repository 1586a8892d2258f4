import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createLocalJWKSet, jwtVerify } from "jose";
import { sql } from "@kontor/platform/database/sql.ts";
import { testCall } from "@kontor/platform/testing/test-services.ts";
import { edgeCall, openIdentity, secondIdentity } from "./test-identity.ts";

type Client = Awaited<ReturnType<typeof openIdentity>>["client"];

async function keySetOf(client: Client) {
  const { keys } = await client.getJwks({}, edgeCall());
  return { keys: keys.map(({ kty, crv, x, y, kid, alg, use }) => ({ kty, crv, x, y, kid, alg, use })) };
}

describe("identity: access tokens", { concurrency: 4 }, () => {
  it("S6: a token has the header and the claims that the gateway takes, and nothing else", async () => {
    const { join, login, client, clock } = await openIdentity();
    const { id, email } = await join("ann@shop.example");
    const tokens = await login(email);
    const set = await keySetOf(client);
    const at = Math.floor(clock.now().getTime() / 1000);
    for (const { accessToken, refreshToken, expiresIn, tokenType } of [tokens, await login(email)]) {
      assert.deepEqual([expiresIn, tokenType], [600, "Bearer"]);
      const { payload, protectedHeader } = await jwtVerify(accessToken, createLocalJWKSet(set), {
        algorithms: ["ES256"],
        typ: "at+jwt",
        issuer: "kontor",
        audience: "kontor",
        currentDate: clock.now(),
      });
      assert.deepEqual(protectedHeader, { alg: "ES256", typ: "at+jwt", kid: set.keys[0]!.kid });
      assert.deepEqual(payload, {
        iss: "kontor",
        aud: "kontor",
        sub: id,
        sid: refreshToken.split(".")[0],
        roles: [],
        ver: true,
        iat: at,
        nbf: at,
        exp: at + 600,
      });
      // The gateway takes a token only when it is spelt as JSON.stringify spells it.
      for (const [nth, value] of [protectedHeader, payload].entries())
        assert.equal(Buffer.from(accessToken.split(".")[nth]!, "base64url").toString(), JSON.stringify(value));
    }
  });

  it("ID-02: a refreshed token carries the roles and the state of now", async () => {
    const { login, refresh, client, clock, hosted } = await openIdentity();
    const { id } = await client.createAccount(
      { email: "bo@shop.example", password: "a good password", name: "Bo", roles: ["seller", "support"] },
      testCall(),
    );
    const first = await login("bo@shop.example");
    const claims = async (accessToken: string) =>
      (await jwtVerify(accessToken, createLocalJWKSet(await keySetOf(client)), { currentDate: clock.now() })).payload;
    assert.deepEqual((await claims(first.accessToken))["roles"], ["seller", "support"]);
    await hosted.database.run(sql`update accounts set roles = '{support}' where id = ${id}`);
    const { sub, roles, ver } = await claims((await refresh(first.refreshToken)).accessToken);
    assert.deepEqual([sub, roles, ver], [id, ["support"], true]);
  });

  it("ID-06, S25: the key survives a restart, is published whole but for its private half, and cannot be read without the master key", async () => {
    const app = await openIdentity();
    const second = await secondIdentity(app);
    await second.start();
    const [set, again] = await Promise.all([keySetOf(app.client), keySetOf(second.client)]);
    assert.deepEqual(set, again);
    assert.equal(set.keys.length, 1);
    await app.join("cy@shop.example");
    const { accessToken, refreshToken } = await app.login("cy@shop.example");
    await jwtVerify(accessToken, createLocalJWKSet(again), { currentDate: app.clock.now() });
    await second.client.refreshToken({ refreshToken }, edgeCall());
    const { key, jwk } = await app.hosted.database.one<{ key: Buffer; jwk: object }>(
      sql`select sealed_private_key as key, public_jwk as jwk from signing_keys`,
    );
    assert.equal(key.includes("PRIVATE KEY"), false);
    assert.equal("d" in jwk, false);
    const other = await secondIdentity(app, { masterKey: Buffer.alloc(32, 7) });
    await assert.rejects(other.start(), /sealed with another KONTOR_MASTER_KEY/);
  });

  it("ID-06: of processes that start at the same time on an empty database one makes the key", async () => {
    const app = await openIdentity();
    await app.hosted.database.run(sql`delete from signing_keys`);
    const processes = await Promise.all(Array.from({ length: 4 }, () => secondIdentity(app)));
    await Promise.all(processes.map((process) => process.start()));
    const sets = await Promise.all(processes.map(({ client }) => keySetOf(client)));
    assert.equal(new Set(sets.map((set) => JSON.stringify(set))).size, 1);
    assert.equal(sets[0]!.keys.length, 1);
  });
});
