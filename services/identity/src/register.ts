import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { AccountRegisteredSchema, RegistrationMailRequestedSchema } from "@kontor/contracts/gen/kontor/identity/v1/events_pb.js";
import { AccountStatus } from "@kontor/contracts/gen/kontor/identity/v1/identity_pb.js";
import type {
  CreateAccountRequest,
  RegisterRequest,
  ResendVerificationRequest,
} from "@kontor/contracts/gen/kontor/identity/v1/identity_pb.js";
import type { Call } from "@kontor/platform/call/call.ts";
import { emailAddress } from "@kontor/platform/contract/email-address.ts";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import type { ServiceContext } from "@kontor/platform/service/service.ts";
import { findAccountByEmail, insertAccount } from "./account-store.ts";
import type { AccountRecord } from "./account-store.ts";
import { cooldownMs, expectMailable, takeMail } from "./mailed-addresses.ts";
import type { Passwords } from "./passwords.ts";
import { insertRegistration, lockRegistrations, replaceVerification } from "./registration-store.ts";
import { insertReset } from "./reset-store.ts";
import type { Secrets } from "./secrets.ts";

export type RegisterNeeds = Pick<ServiceContext, "database" | "events" | "clock" | "ids"> & {
  readonly secrets: Secrets;
  readonly passwords: Passwords;
};

/** How long a mailed code is good. */
export const codeLifeMs = 600_000;
/** How long another code may be asked for. */
const registrationLifeMs = 24 * 3_600_000;

type Registered = Omit<AccountRecord, "passwordHash">;

/**
 * Records a registration and has its mail sent; nothing here asks whether the address has an account, so that neither the response nor its time says
 * it. The mail does, to the owner of the address alone. Refuses with VERIFICATION_TOO_SOON within a minute of a mail to the address.
 */
export const register =
  ({ database, events, clock, ids, passwords, secrets }: RegisterNeeds) =>
  async ({ email, password, name: typedName }: RegisterRequest, call: Call): Promise<Registered> => {
    const { written, key } = emailAddress(email);
    const name = nameOf(typedName);
    const at = clock.now();
    await expectMailable(database, key, at, "VERIFICATION_TOO_SOON");
    const passwordHash = await passwords.hash(password, call);
    const [account, verification] = [ids.next("usr"), ids.next("vrf")];
    const codeExpiresAt = new Date(at.getTime() + codeLifeMs);
    const expiresAt = new Date(at.getTime() + registrationLifeMs);
    const registration = { account, email: written, name, passwordHash, version: 1, verification, codeExpiresAt, expiresAt };
    await database.transaction(async (tx) => {
      await takeMail(tx, key, at, "VERIFICATION_TOO_SOON");
      await insertRegistration(tx, { ...registration, createdAt: at }, key);
      await insertReset(tx, secrets, { id: verification, key, at });
      await events.append(tx, call.with({ user: undefined, caller: account }), [
        { stream: account, expectedVersion: 0, events: [registrationMailRequested(account, verification, codeExpiresAt)] },
      ]);
    });
    return { id: account, version: 1, email: written, name, status: "UNVERIFIED", roles: [], createdAt: at };
  };

/**
 * Has another mail sent for a registration, the newest with this address unless one is named; gives when the next may be requested. The codes before
 * stay good until they expire. Refuses with
 * VERIFICATION_TOO_SOON within a minute of the last one. An address that gets no mail gets the same response.
 */
export const resendVerification =
  ({ database, events, clock, ids, secrets }: RegisterNeeds) =>
  async ({ email, account: named }: ResendVerificationRequest, call: Call): Promise<Date> => {
    const at = clock.now();
    const { key } = emailAddress(email);
    await database.transaction(async (tx) => {
      await takeMail(tx, key, at, "VERIFICATION_TOO_SOON");
      const [registration] = await lockRegistrations(tx, key, named, at);
      if (registration === undefined) return;
      const { account, version } = registration;
      const verification = ids.next("vrf");
      const codeExpiresAt = new Date(at.getTime() + codeLifeMs);
      const expiresAt = new Date(at.getTime() + registrationLifeMs);
      await replaceVerification(tx, { account, verification, codeExpiresAt, expiresAt });
      await insertReset(tx, secrets, { id: verification, key, at });
      await events.append(tx, call.with({ user: undefined, caller: account }), [
        { stream: account, expectedVersion: version, events: [registrationMailRequested(account, verification, codeExpiresAt)] },
      ]);
    });
    return new Date(at.getTime() + cooldownMs);
  };

/** Makes a verified account with roles, for an operator. Refuses with EMAIL_TAKEN. */
export const createAccount =
  ({ database, events, clock, ids, passwords }: RegisterNeeds) =>
  async ({ email, password, name: typedName, roles }: CreateAccountRequest, call: Call): Promise<AccountRecord> => {
    const { written, key } = emailAddress(email);
    const name = nameOf(typedName);
    // For the sake of speed only: two at a time find nobody here, and the insert decides.
    if ((await findAccountByEmail(database, key)) !== undefined) throw emailTaken();
    const passwordHash = await passwords.hash(password, call);
    const id = ids.next("usr");
    const account: AccountRecord = {
      id,
      version: 1,
      email: written,
      name,
      passwordHash,
      status: "VERIFIED",
      roles,
      createdAt: clock.now(),
    };
    await database.transaction(async (tx) => {
      if (!(await insertAccount(tx, account))) throw emailTaken();
      const registered = create(AccountRegisteredSchema, { account: id, status: AccountStatus.VERIFIED, roles });
      await events.append(tx, call, [{ stream: id, expectedVersion: 0, events: [registered] }]);
    });
    return account;
  };

function registrationMailRequested(account: string, verification: string, expiresAt: Date) {
  return create(RegistrationMailRequestedSchema, { account, verification, expiresAt: timestampFromDate(expiresAt) });
}

/** A name on one line, because mails contain it. The contract has it visible. */
function nameOf(text: string): string {
  return text.replace(/[\s\p{Cc}]+/gu, " ").trim();
}

function emailTaken(): Error {
  return refuse({ reason: "EMAIL_TAKEN", code: "already_exists", message: "There is an account with this e-mail address" });
}
