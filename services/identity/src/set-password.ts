import { create } from "@bufbuild/protobuf";
import { AccountPasswordChangedSchema } from "@kontor/contracts/gen/kontor/identity/v1/events_pb.js";
import type { Call } from "@kontor/platform/call/call.ts";
import { emailAddress } from "@kontor/platform/contract/email-address.ts";
import type { Transaction } from "@kontor/platform/database/database.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import type { ServiceContext } from "@kontor/platform/service/service.ts";
import type { AccountRecord } from "./account-store.ts";
import { endSessions } from "./sessions.ts";
import type { EndedSession } from "./sessions.ts";

export interface PasswordChange {
  /** As it was read: nothing happens when the password was changed since. */
  readonly account: AccountRecord;
  readonly passwordHash: string;
  readonly cause: "CHANGED" | "RESET";
  /** The session that goes on. */
  readonly keeps?: string;
}

/**
 * Sets an account's password. All its sessions end, but for the one that is kept, and so do links to reset it; a sign-in with the old password that is
 * under way gets no session. Gives the sessions that ended, which must be announced after the commit; undefined when the password has changed.
 */
export async function setPassword(
  { events, clock }: Pick<ServiceContext, "events" | "clock">,
  tx: Transaction,
  { account: { id, email, passwordHash: old }, passwordHash, cause, keeps }: PasswordChange,
  call: Call,
): Promise<readonly EndedSession[] | undefined> {
  const at = clock.now();
  const changed = await tx.maybe<{ version: number }>(sql`update accounts set password_hash = ${passwordHash}, version = version + 1,
    updated_at = ${at} where id = ${id} and password_hash = ${old} returning version`);
  if (changed === undefined) return undefined;
  await tx.run(sql`delete from password_resets where email_key = ${emailAddress(email).key}`);
  const by = call.with({ user: undefined, caller: id });
  await events.append(tx, by, [
    { stream: id, expectedVersion: changed.version - 1, events: [create(AccountPasswordChangedSchema, { account: id, cause })] },
  ]);
  // Its snapshot is later than the account's lock, for which a sign-in waits: it misses none.
  return endSessions({ events }, tx, { account: id, ...(keeps !== undefined && { keeps }) }, by);
}
