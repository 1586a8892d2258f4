import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, it } from "node:test";
import { createSecrets } from "./secrets.ts";

const session = `ses_${"0".repeat(26)}`;

describe("identity: secrets", () => {
  it("a verification's code has 50 bits, is its own, and depends on the master key", () => {
    const key = randomBytes(32);
    const secrets = createSecrets(key);
    const codes = Array.from({ length: 1_000 }, (_, at) => secrets.verificationCode(`vrf_${at}`));
    for (const code of codes) assert.match(code, /^[0-9A-HJKMNP-TV-Z]{5}-[0-9A-HJKMNP-TV-Z]{5}$/);
    assert.equal(new Set(codes).size, 1_000);
    assert.equal(new Set(codes.join("")).size, 33);
    assert.equal(createSecrets(key).verificationCode("vrf_1"), codes[1]);
    assert.equal(createSecrets(randomBytes(32)).isVerificationCode("vrf_1", codes[1]!), false);
  });

  it("ID-08: a code may be typed in any case, with blanks, and with the letters that its digits look like", () => {
    const secrets = createSecrets(randomBytes(32));
    for (let at = 0; at < 200; at++) {
      const id = `vrf_${at}`;
      const code = secrets.verificationCode(id);
      for (const typed of [
        code.toLowerCase(),
        code.replace("-", ""),
        ` ${code}\t`,
        code.replaceAll("0", "o").replaceAll("1", "l"),
        code.replaceAll("0", "O").replaceAll("1", "I"),
      ])
        assert.equal(secrets.isVerificationCode(id, typed), true, typed);
      assert.equal(secrets.isVerificationCode(id, secrets.verificationCode(`vrf_${at + 1}`)), false);
    }
  });

  it("S8: a refresh token is read only as it was made", () => {
    const secrets = createSecrets(randomBytes(32));
    const token = secrets.refreshToken(session, 7);
    assert.deepEqual(secrets.readRefreshToken(token), { session, generation: 7 });
    assert.ok(token.length <= 200);
    for (let at = 0; at < token.length; at++) {
      const changed = token.slice(0, at) + (token[at] === "1" ? "2" : "1") + token.slice(at + 1);
      assert.equal(secrets.readRefreshToken(changed), undefined, changed);
    }
    assert.equal(createSecrets(randomBytes(32)).readRefreshToken(token), undefined);
  });

  it("what is sealed is opened with the same key only, and only unchanged", () => {
    const secrets = createSecrets(randomBytes(32));
    const plain = Buffer.from("a private key");
    const sealed = secrets.seal(plain);
    assert.deepEqual(secrets.unseal(sealed), plain);
    assert.notDeepEqual(secrets.seal(plain), sealed);
    assert.throws(() => createSecrets(randomBytes(32)).unseal(sealed));
    for (let at = 0; at < sealed.length; at++) assert.throws(() => secrets.unseal(sealed.with(at, sealed[at]! ^ 1)));
  });
});
