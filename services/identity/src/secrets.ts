import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes, timingSafeEqual } from "node:crypto";

const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/** What identity derives from the master key: nothing here has to be stored to be checked. */
export interface Secrets {
  /** The code of a verification, `ABCDE-FGHJK` (50 bits: see `codeTries`). */
  verificationCode(verification: string): string;
  isVerificationCode(verification: string, code: string): boolean;
  /** The token of the link that resets a password (256 bits). */
  resetToken(reset: string): string;
  /** The refresh token of a session's generation. */
  refreshToken(session: string, generation: number): string;
  /** The session and generation of a token of ours; undefined for anything else. */
  readRefreshToken(token: string): { readonly session: string; readonly generation: number } | undefined;
  seal(plain: Uint8Array): Buffer;
  /** Throws for what was not sealed with this key. */
  unseal(sealed: Uint8Array): Buffer;
}

export function createSecrets(masterKey: Uint8Array): Secrets {
  const key = (purpose: string) => Buffer.from(hkdfSync("sha256", masterKey, "", `kontor identity ${purpose}`, 32));
  const codeKey = key("verification code");
  const refreshKey = key("refresh token");
  const resetKey = key("password reset");
  const sealKey = key("seal");
  const mac = (secret: Buffer, text: string) => createHmac("sha256", secret).update(text).digest();

  const rawCode = (verification: string) => {
    let code = "";
    for (const byte of mac(codeKey, verification).subarray(0, 10)) code += alphabet[byte & 31]!;
    return code;
  };
  const refreshMac = (body: string) => mac(refreshKey, body).toString("base64url");
  return {
    verificationCode: (verification) => {
      const code = rawCode(verification);
      return `${code.slice(0, 5)}-${code.slice(5)}`;
    },
    isVerificationCode: (verification, code) => equal(rawCode(verification), plainCode(code)),
    resetToken: (reset) => mac(resetKey, reset).toString("base64url"),
    refreshToken: (session, generation) => {
      const body = `${session}.${generation}`;
      return `${body}.${refreshMac(body)}`;
    },
    readRefreshToken: (token) => {
      const match = /^(ses_[0-9a-z]{26})\.([1-9][0-9]{0,8})\.([A-Za-z0-9_-]{43})$/.exec(token);
      if (match === null || !equal(refreshMac(`${match[1]}.${match[2]}`), match[3]!)) return undefined;
      return { session: match[1]!, generation: Number(match[2]) };
    },
    seal: (plain) => {
      const nonce = randomBytes(12);
      const cipher = createCipheriv("aes-256-gcm", sealKey, nonce);
      return Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
    },
    unseal: (sealed) => {
      const decipher = createDecipheriv("aes-256-gcm", sealKey, sealed.subarray(0, 12));
      decipher.setAuthTag(sealed.subarray(-16));
      return Buffer.concat([decipher.update(sealed.subarray(12, -16)), decipher.final()]);
    },
  };
}

/** As a person may type it: any case, with dashes and blanks, O for 0 and I or L for 1. */
function plainCode(code: string): string {
  return code.toUpperCase().replace(/[\s-]/g, "").replace(/O/g, "0").replace(/[IL]/g, "1");
}

function equal(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}
