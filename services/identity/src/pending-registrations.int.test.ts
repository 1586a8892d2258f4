import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { AccountStatus } from "@kontor/contracts/gen/kontor/identity/v1/identity_pb.js";
import { sql } from "@kontor/platform/database/sql.ts";
import { edgeCall, openIdentity, refusalOf, refusalsAmong } from "./test-identity.ts";

const [own, others] = ["the owner's own", "a stranger's one"];
const minuteMs = 60_000;

describe("identity: registrations that are not verified", { concurrency: 4 }, () => {
  it("ID-01, S9: one claims nothing: nobody can sign in with it, and the owner of the address registers and verifies as if it were not there", async () => {
    const { register, login, codesOf, client, clock } = await openIdentity();
    await register("ann@shop.example", others, "Mallory");
    const [pending, nobody] = [await refusalOf(login("ann@shop.example", others)), await refusalOf(login("nobody@shop.example", others))];
    const said = ({ reason, code, message, details, fields }: typeof pending) => ({ reason, code, message, details, fields });
    assert.deepEqual(said(pending), said(nobody));
    clock.advance(minuteMs);
    const { id } = await register("ann@shop.example", own, "Ann");
    const [code] = await codesOf(id);
    const account = await client.verifyEmail({ email: "ann@shop.example", code: code! }, edgeCall());
    assert.deepEqual([account.id, account.name, account.status], [id, "Ann", AccountStatus.VERIFIED]);
    await login("ann@shop.example", own);
    assert.equal((await refusalOf(login("ann@shop.example", others))).reason, "CREDENTIALS_WRONG");
  });

  it("ID-08, S10: each code makes the account of its own registration, also when somebody registers later; the first that is verified ends the others", async () => {
    const { register, login, codesOf, client, clock, hosted } = await openIdentity();
    const ann = await register("ann@shop.example", own, "Ann");
    clock.advance(minuteMs);
    const mallory = await register("Ann@Shop.example", others, "Mallory");
    const [[code], [later]] = [await codesOf(ann.id), await codesOf(mallory.id)];
    const verify = (typed: string, account = "") => client.verifyEmail({ email: ann.email, code: typed, account }, edgeCall());
    // Whoever says which registration is meant cannot confirm another's by typing the newest code.
    assert.equal((await refusalOf(verify(later!, ann.id))).reason, "CODE_WRONG");
    assert.deepEqual([(await verify(code!)).id, (await refusalOf(verify(later!))).reason], [ann.id, "CODE_WRONG"]);
    await login(ann.email, own);
    assert.equal((await refusalOf(login(ann.email, others))).reason, "CREDENTIALS_WRONG");
    assert.deepEqual(await hosted.database.rows(sql`select from registrations`), []);
  });

  it("ID-09: another code is of the registration that is named, and of the newest without a name", async () => {
    const { register, codesOf, client, clock } = await openIdentity();
    const ann = await register("ann@shop.example", own, "Ann");
    clock.advance(minuteMs);
    const mallory = await register("ann@shop.example", others, "Mallory");
    const counts = async () => [(await codesOf(ann.id)).length, (await codesOf(mallory.id)).length];
    for (const [account, expected] of [
      ["", [1, 2]],
      [ann.id, [2, 2]],
      ["usr_none", [2, 2]],
    ] as const) {
      clock.advance(minuteMs);
      await client.resendVerification({ email: ann.email, account }, edgeCall());
      assert.deepEqual(await counts(), expected);
    }
  });

  it("ID-09, S9: whoever asks for other codes each minute makes none of the owner's invalid before it expires", async () => {
    const { register, codesOf, client, clock } = await openIdentity();
    const verify = async (email: string, age: number) => {
      const { id } = await register(email);
      for (let nth = 0; nth < 12; nth++) {
        clock.advance(minuteMs);
        await client.resendVerification({ email }, edgeCall());
      }
      const codes = await codesOf(id);
      return client.verifyEmail({ email, code: codes[codes.length - 1 - age]! }, edgeCall());
    };
    for (const age of [0, 1, 9]) assert.equal((await verify(`ann${age}@shop.example`, age)).status, AccountStatus.VERIFIED, `${age} min`);
    assert.equal((await refusalOf(verify("bo@shop.example", 10))).reason, "CODE_EXPIRED");
    assert.equal((await refusalOf(verify("cy@shop.example", 12))).reason, "CODE_WRONG");
  });

  it("ID-01, S9: with an address that has an account the response is the same, and the mail goes to the account's owner, without a code", async () => {
    const { join, register, login, mailOf, codesOf, client, clock } = await openIdentity();
    await join("Ann@shop.example", own, "Ann");
    clock.advance(minuteMs);
    const [taken, free] = [await register("ANN@shop.example", others, "Mallory"), await register("bo@shop.example", others, "Mallory")];
    const shape = ({ id, email, ...rest }: typeof taken) => ({ ...rest, id: id.length, email: email.length > 0 });
    assert.deepEqual(shape(taken), shape(free));
    const [toOwner, toNew] = [await mailOf(taken.id), await mailOf(free.id)];
    assert.deepEqual(
      [toOwner.contact?.email, toOwner.contact?.name, toOwner.code, toOwner.resetToken !== ""],
      ["Ann@shop.example", "Ann", "", true],
    );
    assert.deepEqual([toNew.contact?.email, toNew.resetToken, toNew.code], ["bo@shop.example", "", (await codesOf(free.id))[0]]);
    const [code] = await codesOf(taken.id);
    assert.equal((await refusalOf(client.verifyEmail({ email: taken.email, code: code! }, edgeCall()))).reason, "CODE_WRONG");
    await login("ann@shop.example", own);
    await client.confirmPasswordReset({ token: toOwner.resetToken, password: "the owner's second" }, edgeCall());
    await login("ann@shop.example", "the owner's second");
  });

  it("ID-01, ID-09, S9: of twenty at the same time one is mailed, whether the address has an account, and the others are refused in the same words", async () => {
    const { join, register, clock, hosted } = await openIdentity();
    await join("ann@shop.example");
    clock.advance(minuteMs);
    const all = await Promise.all(
      ["ann@shop.example", "bo@shop.example"].map(async (email) => {
        const refusals = refusalsAmong(await Promise.allSettled(Array.from({ length: 20 }, () => register(email))));
        return refusals.map(({ reason, code, message, retryAfterMs }) => ({ reason, code, message, retryAfterMs }));
      }),
    );
    assert.deepEqual([all[0]?.length, all[1]], [19, all[0]]);
    assert.deepEqual(
      [all[0]![0]!.reason, all[0]![0]!.code, all[0]![0]!.retryAfterMs],
      ["VERIFICATION_TOO_SOON", "resource_exhausted", minuteMs],
    );
    assert.equal((await hosted.database.rows(sql`select from registrations`)).length, 2);
  });

  it("ID-01, ID-02, ID-08: registration, verification, sign-in and reset know an address in any spelling", async () => {
    const { register, login, codesOf, resetsOf, mailOf, client, clock } = await openIdentity();
    const spellings = [" Bo@Müller.Example ", "BO@MÜLLER.EXAMPLE", "bo@mu\u0308ller.example", "bo@xn--mller-kva.example\n"];
    const { id, email } = await register(spellings[0]!, own);
    assert.equal(email, "Bo@xn--mller-kva.example");
    assert.equal((await mailOf(id)).contact?.email, email, "mail servers know the domain in ASCII");
    for (const spelling of spellings) assert.equal((await refusalOf(register(spelling))).reason, "VERIFICATION_TOO_SOON", spelling);
    const [code] = await codesOf(id);
    await client.verifyEmail({ email: spellings[1]!, code: code! }, edgeCall());
    for (const spelling of spellings) await login(spelling, own);
    clock.advance(minuteMs);
    await client.resetPassword({ email: spellings[2]! }, edgeCall());
    const [token] = await resetsOf();
    await client.confirmPasswordReset({ token: token!, password: "the owner's second" }, edgeCall());
    await login(spellings[3]!, "the owner's second");
  });
});
