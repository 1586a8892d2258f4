import type { EmailKey } from "@kontor/platform/contract/email-address.ts";
import type { Queries, Transaction } from "@kontor/platform/database/database.ts";
import { sql } from "@kontor/platform/database/sql.ts";

/** Somebody has asked for an account, and has not verified the address yet. */
export interface RegistrationRecord {
  /** The id that the account will have. */
  readonly account: string;
  readonly email: string;
  readonly name: string;
  readonly passwordHash: string;
  readonly version: number;
  /** The newest mail's. */
  readonly verification: string;
  /** Those of the mails before it, newest first. */
  readonly older: readonly string[];
  readonly codeExpiresAt: Date;
  readonly createdAt: Date;
  readonly expiresAt: Date;
}

const columns = sql`account, email, name, password_hash as "passwordHash", version, verification, older, code_expires_at as "codeExpiresAt",
  created_at as "createdAt", expires_at as "expiresAt"`;
/** Of one address; there is a mail a minute at most, and codes are good for ten. */
const lockedMax = 100;
/** There is a mail a minute at most, and a code is good for ten. */
const olderMax = 10;

export async function insertRegistration(tx: Transaction, registration: Omit<RegistrationRecord, "older">, key: EmailKey): Promise<void> {
  const { account, email, name, passwordHash, version, verification, codeExpiresAt, createdAt, expiresAt } = registration;
  await tx.run(sql`insert into registrations (account, email, email_key, name, password_hash, version, verification, code_expires_at, created_at, expires_at)
    values (${account}, ${email}, ${key}, ${name}, ${passwordHash}, ${version}, ${verification}, ${codeExpiresAt}, ${createdAt}, ${expiresAt})`);
}

/** Makes another mail the newest of a registration, which lives on until `expiresAt`. */
export async function replaceVerification(
  tx: Transaction,
  { account, verification, codeExpiresAt, expiresAt }: Pick<RegistrationRecord, "account" | "verification" | "codeExpiresAt" | "expiresAt">,
): Promise<void> {
  await tx.run(sql`update registrations set verification = ${verification}, code_expires_at = ${codeExpiresAt},
    older = (array[verification] || older)[1:${olderMax}::int], version = version + 1, expires_at = ${expiresAt} where account = ${account}`);
}

/** The registrations with an address, or the one of them that will have this account's id; newest first. */
export function lockRegistrations(tx: Transaction, key: EmailKey, account: string, at: Date): Promise<RegistrationRecord[]> {
  const chosen = account === "" ? sql`true` : sql`account = ${account}`;
  return tx.rows<RegistrationRecord>(sql`select ${columns} from registrations where email_key = ${key} and ${chosen} and expires_at > ${at}
    order by created_at desc, account desc limit ${lockedMax} for update`);
}

/** A registration's newest mail, with the address as it is compared. */
export function findByVerification(
  queries: Queries,
  verification: string,
): Promise<(RegistrationRecord & { readonly emailKey: EmailKey }) | undefined> {
  return queries.maybe(sql`select ${columns}, email_key as "emailKey" from registrations where verification = ${verification}`);
}
