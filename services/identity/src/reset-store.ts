import { hash } from "node:crypto";
import type { EmailKey } from "@kontor/platform/contract/email-address.ts";
import type { Queries, Transaction } from "@kontor/platform/database/database.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import type { Secrets } from "./secrets.ts";

/** How long a mailed link is good. */
export const resetLifeMs = 3_600_000;

/** A link by which the owner of an address may choose another password, if the address has an account. */
export interface ResetRecord {
  readonly id: string;
  readonly emailKey: EmailKey;
  readonly expiresAt: Date;
}

const columns = sql`id, email_key as "emailKey", expires_at as "expiresAt"`;

export interface NewReset {
  readonly id: string;
  readonly key: EmailKey;
  readonly at: Date;
}

/** Stores of the token nothing but its hash; gives when it expires. */
export async function insertReset(tx: Transaction, secrets: Secrets, { id, key, at }: NewReset): Promise<Date> {
  const expiresAt = new Date(at.getTime() + resetLifeMs);
  await tx.run(sql`insert into password_resets (id, email_key, token_hash, created_at, expires_at)
    values (${id}, ${key}, ${hashOf(secrets.resetToken(id))}, ${at}, ${expiresAt})`);
  return expiresAt;
}

export function findReset(queries: Queries, id: string): Promise<ResetRecord | undefined> {
  return queries.maybe<ResetRecord>(sql`select ${columns} from password_resets where id = ${id}`);
}

/** The link with a token that can still be used. */
export function findResetByToken(queries: Queries, token: string, at: Date): Promise<ResetRecord | undefined> {
  return queries.maybe<ResetRecord>(sql`select ${columns} from password_resets where token_hash = ${hashOf(token)} and expires_at > ${at}`);
}

/** Uses a link up: of several at the same time one gets it. */
export function takeReset(tx: Transaction, id: string): Promise<ResetRecord | undefined> {
  return tx.maybe<ResetRecord>(sql`delete from password_resets where id = ${id} returning ${columns}`);
}

function hashOf(token: string): Buffer {
  return hash("sha256", token, "buffer");
}
