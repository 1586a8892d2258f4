import { hash } from "node:crypto";
import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { AccountSchema, AccountStatus } from "@kontor/contracts/gen/kontor/identity/v1/identity_pb.js";
import type { Account } from "@kontor/contracts/gen/kontor/identity/v1/identity_pb.js";
import { createLookup } from "@kontor/platform/batch/lookup.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import { emailAddress } from "@kontor/platform/contract/email-address.ts";
import type { EmailKey } from "@kontor/platform/contract/email-address.ts";
import type { Queries, Reads, Transaction } from "@kontor/platform/database/database.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import { refuse } from "@kontor/platform/errors/refusal.ts";

export interface AccountRecord {
  readonly id: string;
  readonly version: number;
  readonly email: string;
  readonly name: string;
  readonly passwordHash: string;
  readonly status: "UNVERIFIED" | "VERIFIED";
  readonly roles: readonly string[];
  readonly createdAt: Date;
}

const columns = sql`id, version, email, name, password_hash as "passwordHash", status, roles, created_at as "createdAt"`;

/** Replaces an address where the address itself must not appear, as in a cache's key. */
export function emailDigest(key: EmailKey): string {
  return hash("sha256", key, "base64url");
}

/** The account with an address: a verified one, because there are no others. */
export function findAccountByEmail(queries: Queries, key: EmailKey): Promise<AccountRecord | undefined> {
  return queries.maybe<AccountRecord>(sql`select ${columns} from accounts where email_key = ${key} and status = 'VERIFIED'`);
}

/** Refuses with NOT_FOUND. */
export async function readAccount(queries: Reads, id: string): Promise<AccountRecord> {
  return present(await queries.maybe<AccountRecord>(sql`select ${columns} from accounts where id = ${id}`));
}

/** Finds accounts by their ids, those that are looked for at the same time in one statement. Refuses with NOT_FOUND. */
export function accountLookup(queries: Reads): (id: string, call: Call) => Promise<AccountRecord> {
  const { find } = createLookup<AccountRecord>("identity.find", async (ids) => {
    const accounts = await queries.rows<AccountRecord>(sql`select ${columns} from accounts where id = any(${ids}::text[])`);
    return new Map(accounts.map((account) => [account.id, account]));
  });
  return async (id, call) => present(await find(id, call));
}

function present(account: AccountRecord | undefined): AccountRecord {
  if (account === undefined) throw refuse({ reason: "NOT_FOUND", code: "not_found", message: "There is no such account" });
  return account;
}

/** Gives false when an account has the address. */
export async function insertAccount(tx: Transaction, account: AccountRecord): Promise<boolean> {
  const { key } = emailAddress(account.email);
  // Of a process of the version before, which stores registrations here.
  await tx.run(sql`delete from accounts where email_key = ${key} and status = 'UNVERIFIED'`);
  const inserted = await tx.run(
    sql`insert into accounts (id, version, email, email_key, name, password_hash, status, roles, created_at, updated_at)
      values (${account.id}, ${account.version}, ${account.email}, ${key}, ${account.name}, ${account.passwordHash}, ${account.status},
        ${account.roles}, ${account.createdAt}, ${account.createdAt})
      on conflict (email_key) do nothing`,
  );
  return inserted === 1;
}

export function accountMessage({ id, version, email, name, status, roles, createdAt }: Omit<AccountRecord, "passwordHash">): Account {
  return create(AccountSchema, {
    id,
    version,
    email,
    name,
    status: AccountStatus[status],
    roles: [...roles],
    createdAt: timestampFromDate(createdAt),
  });
}
