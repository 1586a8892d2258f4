import type { Queries } from "../database/database.ts";
import { sql } from "../database/sql.ts";

/** What the mailbox says of the mails that it has received. */
export interface MailboxFacts {
  /** Those of these Message-IDs whose mail is stored. */
  stored(messageIds: readonly string[]): Promise<ReadonlySet<string>>;
  /** When the oldest stored mail came: undefined when none was ever removed, far in the future when all were. */
  storedSince(): Promise<Date | undefined>;
}

/** As `ServiceFacts` of a service, because it has a database like one. */
export const mailboxFacts = {
  service: "mailbox",
  from: (mailbox: Queries): MailboxFacts => ({
    async stored(messageIds) {
      const rows = await mailbox.rows<{ id: string }>(
        sql`select message_id as id from mails where message_id = any(${messageIds}::text[])`,
      );
      return new Set(rows.map(({ id }) => id));
    },
    async storedSince() {
      const first = await mailbox.maybe<{ position: number; at: Date }>(
        sql`select position::float8 as position, received_at as at from mails order by mails.position limit 1`,
      );
      if (first !== undefined) return first.position === 1 ? undefined : first.at;
      const { last } = await mailbox.one<{ last: bigint | null }>(
        sql`select pg_sequence_last_value(pg_get_serial_sequence('mails', 'position')::regclass) as last`,
      );
      return last === null ? undefined : new Date(8.64e15);
    },
  }),
};
