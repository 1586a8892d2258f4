import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { AccountStatus } from "@kontor/contracts/gen/kontor/identity/v1/identity_pb.js";
import { testCall } from "@kontor/platform/testing/test-services.ts";
import { edgeCall, openIdentity, refusalOf } from "./test-identity.ts";

describe("identity: registration", { concurrency: 4 }, () => {
  it("ID-01: a registration is unverified, and its response contains no password and no hash", async () => {
    const { register } = await openIdentity();
    const account = await register("Ann@Shop.Example", "correct horse", "  Ann\u2028\n Lee ");
    const { id, createdAt, ...others } = account;
    assert.match(id, /^usr_[0-9a-z]{26}$/);
    assert.deepEqual(others, {
      $typeName: "kontor.identity.v1.Account",
      email: "Ann@Shop.Example",
      name: "Ann Lee",
      status: AccountStatus.UNVERIFIED,
      roles: [],
      version: 1,
    });
    assert.ok(createdAt);
  });

  it("ID-01, S9, S15: passwords of 4 kB, with NUL or too short, and names of blanks are refused by name, and nothing is stored", async () => {
    const { client, hosted } = await openIdentity();
    const good = { email: "cy@shop.example", password: "a good password", name: "Cy" };
    const cases: [change: Partial<typeof good>, field: string][] = [
      [{ password: "x".repeat(4096) }, "password"],
      [{ password: "x".repeat(129) }, "password"],
      [{ password: "nul\0inside it" }, "password"],
      [{ password: "half \ud800 a pair" }, "password"],
      [{ password: "seven77" }, "password"],
      [{ name: " \n\t " }, "name"],
      [{ name: "nul\0" }, "name"],
      [{ name: "x".repeat(101) }, "name"],
      [{ email: "cy@shop.example\r\nBcc: eve@shop.example" }, "email"],
      [{ email: "cy@shop.example\0" }, "email"],
      [{ email: "no address" }, "email"],
    ];
    for (const [change, field] of cases) {
      const refusal = await refusalOf(client.register({ ...good, ...change }, edgeCall()));
      assert.deepEqual(
        [refusal.reason, ...new Set(refusal.fields.map((one) => one.field))],
        ["INVALID_REQUEST", field],
        JSON.stringify(change).slice(0, 60),
      );
    }
    for (const password of ["x".repeat(4096), "nul\0inside it", ""])
      assert.equal((await refusalOf(client.login({ email: good.email, password }, edgeCall()))).reason, "INVALID_REQUEST");
    assert.equal(await hosted.progress(), "0/0/0");
  });

  it("ID-03: what is stored begins with $argon2id$, and no password and no code is in the database", async () => {
    const app = await openIdentity();
    await app.join("di@shop.example", "horse battery staple");
    const { id } = await app.register("ed@shop.example", "horse battery staple");
    const { accessToken, refreshToken } = await app.login("di@shop.example", "horse battery staple");
    await refusalOf(app.login("di@shop.example", "wrong battery staple"));
    app.clock.advance(61_000);
    await app.client.resendVerification({ email: "ed@shop.example" }, edgeCall());
    await app.client.resetPassword({ email: "di@shop.example" }, edgeCall());
    const [codes, links] = [await app.codesOf(id), await app.resetsOf()];
    assert.deepEqual([codes.length, links.length], [2, 1]);
    const dump = await app.dump();
    assert.match(dump, /"\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
    for (const secret of ["battery staple", accessToken, refreshToken, ...links, ...codes, ...codes.map((code) => code.replace("-", ""))])
      assert.equal(dump.toLowerCase().includes(secret.toLowerCase()), false, secret);
  });

  it("ID-08: a code is good at 9:59 and no longer at 10:01", async () => {
    const { register, codesOf, clock, client } = await openIdentity();
    const [early, late] = [await register("early@shop.example"), await register("late@shop.example")];
    const [[good], [expired]] = [await codesOf(early.id), await codesOf(late.id)];
    clock.advance(599_000);
    const verified = await client.verifyEmail({ email: early.email, code: good! }, edgeCall());
    assert.deepEqual([verified.status, verified.version], [AccountStatus.VERIFIED, 3]);
    assert.equal((await client.getMe({}, edgeCall({ id: early.id }))).status, AccountStatus.VERIFIED);
    clock.advance(2_000);
    const refusal = await refusalOf(client.verifyEmail({ email: late.email, code: expired! }, edgeCall()));
    assert.deepEqual([refusal.reason, refusal.code], ["CODE_EXPIRED", "failed_precondition"]);
  });

  it("ID-09: a second mail is refused after 59 s and sent after 61 s, and there are exactly two", async () => {
    const { register, codesOf, clock, client } = await openIdentity();
    const { id, email } = await register("fay@shop.example");
    const resend = () => client.resendVerification({ email: "FAY@shop.example" }, edgeCall());
    clock.advance(59_000);
    const refusal = await refusalOf(resend());
    assert.deepEqual([refusal.reason, refusal.code, refusal.retryAfterMs], ["VERIFICATION_TOO_SOON", "resource_exhausted", 1_000]);
    clock.advance(2_000);
    const outcomes = await Promise.allSettled([resend(), resend(), resend()]);
    assert.deepEqual(outcomes.map(({ status }) => status).toSorted(), ["fulfilled", "rejected", "rejected"]);
    const codes = await codesOf(id);
    assert.equal(codes.length, 2);
    assert.equal((await client.verifyEmail({ email, code: codes[1]! }, edgeCall())).status, AccountStatus.VERIFIED);
    assert.equal((await refusalOf(client.verifyEmail({ email, code: codes[0]! }, edgeCall()))).reason, "CODE_WRONG");
  });

  it("S9: requesting a mail does not reveal whether the address has an account", async () => {
    const { register, codesOf, clock, client } = await openIdentity();
    const unverified = await register("gil@shop.example");
    const verified = await register("hal@shop.example");
    const [code] = await codesOf(verified.id);
    await client.verifyEmail({ email: verified.email, code: code! }, edgeCall());
    clock.advance(61_000);
    const outcomes = await Promise.all(
      [unverified.email, verified.email, "nobody@shop.example"].map(async (email) => {
        const { nextAt } = await client.resendVerification({ email }, edgeCall());
        const {
          reason,
          message,
          code: refusalCode,
          details,
          fields,
          retryAfterMs,
        } = await refusalOf(client.resendVerification({ email: email.toUpperCase() }, edgeCall()));
        assert.ok(retryAfterMs! > 0 && retryAfterMs! <= 60_000);
        return { nextAt, reason, message, refusalCode, details, fields };
      }),
    );
    assert.equal(outcomes[0]?.reason, "VERIFICATION_TOO_SOON");
    assert.deepEqual(outcomes[1], outcomes[0]);
    assert.deepEqual(outcomes[2], outcomes[0]);
    assert.equal((await codesOf(verified.id)).length, 1);
  });

  it("S10: a wrong code is refused in the same words as one of an unknown address, a used one and another's, and kills no valid one", async () => {
    const { register, codesOf, client, clock } = await openIdentity();
    const { id, email } = await register("ida@shop.example");
    const other = await register("jon@shop.example");
    const [code] = await codesOf(id);
    const [others] = await codesOf(other.id);
    const verify = (address: string, attempt: string, origin = "elsewhere") =>
      client.verifyEmail({ email: address, code: attempt }, edgeCall().with({ origin }));
    const unknown = await refusalOf(verify("nobody@shop.example", code!));
    const attempts = ["ABCDE-FGHJK", others!, "0", code!.slice(0, -1), `${code}0`];
    const wrong = await Promise.all([...attempts, ...attempts].map((attempt) => refusalOf(verify(email, attempt))));
    for (const { reason, message, fields } of wrong)
      assert.deepEqual({ reason, message, fields }, { reason: "CODE_WRONG", message: unknown.message, fields: unknown.fields });
    for (const address of [email, "nobody@shop.example"]) {
      const refusals = [];
      for (let nth = 0; nth < 10; nth++) refusals.push(await refusalOf(verify(address, code!)));
      assert.equal(refusals.at(-1)!.reason, "TOO_MANY_TRIES", "known or not");
    }
    clock.advance(61_000);
    await client.resendVerification({ email }, edgeCall());
    const [, fresh] = await codesOf(id);
    assert.equal((await verify(email, fresh!, "her own")).id, id);
    assert.equal((await refusalOf(verify(email, fresh!, "her own"))).reason, "CODE_WRONG");
    assert.equal((await verify(other.email, others!)).id, other.id);
  });

  it("ID-08: of ten who verify with one code at the same time one does it", async () => {
    const { register, codesOf, client, hosted } = await openIdentity();
    const { id, email } = await register("kim@shop.example");
    const [code] = await codesOf(id);
    const outcomes = await Promise.allSettled(Array.from({ length: 10 }, () => client.verifyEmail({ email, code: code! }, edgeCall())));
    assert.equal(outcomes.filter(({ status }) => status === "fulfilled").length, 1);
    assert.equal((await hosted.log.history(hosted.database, id)).length, 3);
  });

  it("ID-08: a code may be typed sloppily", async () => {
    const { register, codesOf, client } = await openIdentity();
    const typed: ((code: string) => string)[] = [
      (code) => code.toLowerCase(),
      (code) => code.replace("-", ""),
      (code) => ` ${code.replace("-", " ")} `,
      (code) => code.replaceAll("0", "o").replaceAll("1", "l"),
      (code) => code.replaceAll("0", "O").replaceAll("1", "i"),
    ];
    for (const [at, type] of typed.entries()) {
      const { id, email } = await register(`lea${at}@shop.example`);
      const [code] = await codesOf(id);
      assert.equal((await client.verifyEmail({ email, code: type(code!) }, edgeCall())).status, AccountStatus.VERIFIED, type(code!));
    }
  });

  it("ID-10: only services create accounts with roles, or read whom to write to", async () => {
    const { client, edge, hosted } = await openIdentity();
    const request = { email: "root@shop.example", password: "a good password", name: "Root", roles: ["admin"] };
    const admin = { id: "usr_admin", roles: ["admin"] };
    for (const call of [edgeCall(), edgeCall(admin)]) {
      assert.equal((await refusalOf(edge.createAccount(request, call))).reason, "PERMISSION_DENIED");
      assert.equal((await refusalOf(edge.getContact({ account: "usr_1" }, call))).reason, "PERMISSION_DENIED");
      assert.equal((await refusalOf(edge.getVerificationMail({ verification: "vrf_1" }, call))).reason, "PERMISSION_DENIED");
    }
    assert.equal((await refusalOf(client.createAccount({ ...request, roles: ["owner"] }, testCall()))).reason, "INVALID_REQUEST");
    const account = await client.createAccount(request, testCall({ user: admin }));
    assert.deepEqual([account.status, account.roles, account.version], [AccountStatus.VERIFIED, ["admin"], 1]);
    assert.equal((await refusalOf(client.createAccount(request, testCall()))).reason, "EMAIL_TAKEN");
    assert.deepEqual(
      (await hosted.log.history(hosted.database, account.id)).map(({ type, actor }) => [type, actor]),
      [["identity.account.registered", "usr_admin"]],
    );
    const { email, name } = await client.getContact({ account: account.id }, testCall());
    assert.deepEqual([email, name], ["root@shop.example", "Root"]);
    assert.equal((await refusalOf(client.getContact({ account: "usr_1" }, testCall()))).reason, "NOT_FOUND");
  });

  it("MSG-13, SEC-06: every change is one event with actor and time, and no event holds an address, a name or a code", async () => {
    const { register, login, refresh, codesOf, client, clock, hosted } = await openIdentity();
    const { id, email } = await register("mia@shop.example", "a good password", "Mia Canary");
    clock.advance(61_000);
    await client.resendVerification({ email }, edgeCall());
    const codes = await codesOf(id);
    await client.verifyEmail({ email, code: codes[1]! }, edgeCall());
    const { refreshToken } = await login(email);
    await refresh(refreshToken);
    const { items } = await client.listSessions({}, edgeCall({ id }));
    const session = items[0]!.id;
    await client.logout({}, edgeCall({ id, session }));
    const account = await hosted.log.history(hosted.database, id);
    assert.deepEqual(
      account.map(({ type, actor, version, at }) => [type, actor, version, at.toISOString().slice(11, 19)]),
      [
        ["identity.registration_mail.requested", id, 1, "09:00:00"],
        ["identity.registration_mail.requested", id, 2, "09:01:01"],
        ["identity.account.registered", id, 3, "09:01:01"],
        ["identity.account.verified", id, 4, "09:01:01"],
      ],
    );
    const ofSession = await hosted.log.history(hosted.database, session);
    assert.deepEqual(
      ofSession.map(({ type, actor }) => [type, actor]),
      [
        ["identity.session.started", id],
        ["identity.session.ended", id],
      ],
    );
    const responses = JSON.stringify([account, ofSession], (_, value: unknown) => (typeof value === "bigint" ? String(value) : value));
    for (const personal of ["mia@", "Canary", ...codes, refreshToken]) assert.equal(responses.includes(personal), false, personal);
  });
});
