import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { IdentityService } from "@kontor/contracts/gen/kontor/identity/v1/identity_pb.js";
import type { Call } from "@kontor/platform/call/call.ts";
import { refusalIn } from "@kontor/platform/errors/refusal.ts";
import type { Client } from "@kontor/platform/rpc/rpc.ts";
import { addressTakenMail, passwordResetMail, verificationMail } from "./templates/identity-mails.ts";
import type { Shop, Words } from "./templates/layout.ts";

/** A mail and whom it is for. */
export interface WrittenMail {
  readonly to: string;
  readonly words: Words;
}

/** The code, to whoever registers with a free address; to the owner of one that has an account, that somebody tried. Undefined when it is over. */
export async function registrationMail(
  identity: Client<typeof IdentityService>,
  shop: Shop,
  verification: string,
  call: Call,
): Promise<WrittenMail | undefined> {
  const mail = await unlessGone(identity.getVerificationMail({ verification }, call));
  if (mail === undefined) return undefined;
  const { email: to, name } = mail.contact!;
  const { code, resetToken: token } = mail;
  const expiresAt = timestampDate(mail.expiresAt!);
  const words = token === "" ? verificationMail(shop, { name, code, expiresAt }) : addressTakenMail(shop, { name, token, expiresAt });
  return { to, words };
}

/** The link to another password. Undefined when it is over, or nobody has an account with the address. */
export async function resetMail(
  identity: Client<typeof IdentityService>,
  shop: Shop,
  reset: string,
  call: Call,
): Promise<WrittenMail | undefined> {
  const mail = await unlessGone(identity.getPasswordResetMail({ reset }, call));
  if (mail === undefined) return undefined;
  const { email: to, name } = mail.contact!;
  return { to, words: passwordResetMail(shop, { name, token: mail.token, expiresAt: timestampDate(mail.expiresAt!) }) };
}

async function unlessGone<T>(reading: Promise<T>): Promise<T | undefined> {
  try {
    return await reading;
  } catch (error) {
    if (refusalIn(error)?.reason === "NOT_FOUND") return undefined;
    throw error;
  }
}
