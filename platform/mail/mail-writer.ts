import { createBatch } from "../batch/batch.ts";
import type { Database } from "../database/database.ts";
import { sql } from "../database/sql.ts";

/** A mail as it was received by SMTP. */
export interface CaughtMail {
  readonly messageId: string;
  readonly sender: string;
  readonly recipients: readonly string[];
  readonly subject: string;
  readonly receivedAt: Date;
  readonly raw: Buffer;
}

const bytesMax = 8 * 1024 * 1024;

/**
 * Inserts mails; each resolves when it is committed. One insert runs at a time; mails that arrive meanwhile are inserted together by the next,
 * whether or not their senders still wait. `stored` is called after each insert.
 */
export function createMailWriter(database: Pick<Database, "run">, stored: () => void): (mail: CaughtMail) => Promise<void> {
  let last: Promise<unknown> = Promise.resolve();
  const batch = createBatch<CaughtMail, void>({
    name: "mailbox.store",
    sizeOf: ({ raw }) => raw.length,
    sizeMax: bytesMax,
    execute: async (items) => {
      const mails = items.map(({ request }) => request);
      // Also when an insert takes so long that another batch is begun: positions become visible in order.
      const inserted = last.then(() => insert(database, mails));
      last = inserted.catch(() => undefined); // it is the batch's
      await inserted;
      stored();
      return items.map(() => undefined);
    },
  });
  return (mail) => batch.run(mail);
}

/** The messages are sent as one parameter, split by the server: an array of them would be sent as hexadecimal text. */
async function insert(database: Pick<Database, "run">, mails: readonly CaughtMail[]): Promise<void> {
  let end = 0;
  const starts = mails.map(({ raw }) => (end += raw.length) - raw.length + 1);
  await database.run(sql`
    insert into mails (message_id, sender, recipients, subject, received_at, raw)
    select message_id, sender, string_to_array(recipients, ' '), subject, received_at, substring(${Buffer.concat(mails.map(({ raw }) => raw))}::bytea, start, length)
    from unnest(
      ${mails.map((mail) => mail.messageId)}::text[],
      ${mails.map((mail) => mail.sender)}::text[],
      ${mails.map((mail) => mail.recipients.join(" "))}::text[],
      ${mails.map((mail) => mail.subject)}::text[],
      ${mails.map((mail) => mail.receivedAt)}::timestamptz[],
      ${starts}::int[],
      ${mails.map(({ raw }) => raw.length)}::int[]
    ) as mail (message_id, sender, recipients, subject, received_at, start, length)
    on conflict (message_id) do nothing`);
}
