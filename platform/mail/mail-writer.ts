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

const batchMax = 500;
const batchBytesMax = 8 * 1024 * 1024;

/**
 * Inserts mails; each resolves when it is committed. One insert runs at a time; mails that arrive meanwhile are inserted together by the next.
 * `stored` is called after each insert.
 */
export function createMailWriter(database: Database, stored: () => void): (mail: CaughtMail) => Promise<void> {
  const waiting: { mail: CaughtMail; resolve: () => void; reject: (error: unknown) => void }[] = [];
  let inserting = false;

  async function insertWaiting(): Promise<void> {
    inserting = true;
    for (let batch = nextBatch(); batch.length > 0; batch = nextBatch()) {
      try {
        await insert(
          database,
          batch.map(({ mail }) => mail),
        );
        for (const { resolve } of batch) resolve();
        stored();
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    inserting = false;
  }

  function nextBatch() {
    let bytes = 0;
    let count = 0;
    while (count < waiting.length && count < batchMax && (count === 0 || bytes < batchBytesMax)) bytes += waiting[count++]!.mail.raw.length;
    return waiting.splice(0, count);
  }

  return (mail) =>
    new Promise((resolve, reject) => {
      waiting.push({ mail, resolve, reject });
      if (!inserting) void insertWaiting();
    });
}

/** The messages are sent as one parameter, split by the server: an array of them would be sent as hexadecimal text. */
async function insert(database: Database, mails: readonly CaughtMail[]): Promise<void> {
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
