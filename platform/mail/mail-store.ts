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

/** A mail in the list. */
export interface ListedMail {
  /** The Message-ID without its brackets. */
  readonly id: string;
  /** Rises with the time of storing: a cursor for `before` and `after`. */
  readonly position: number;
  readonly from: string;
  readonly to: readonly string[];
  readonly subject: string;
  readonly receivedAt: Date;
  readonly size: number;
}

export interface MailFilter {
  readonly limit: number;
  /** A recipient's whole address. */
  readonly to?: string | undefined;
  /** A part of a recipient's or the sender's address, or of the subject. */
  readonly query?: string | undefined;
  readonly before?: number | undefined;
  readonly after?: number | undefined;
}

export interface MailStore {
  /** Resolves when the mail is committed, or one with its Message-ID was before. */
  add(mail: CaughtMail): Promise<void>;
  /** Newest first. */
  list(filter: MailFilter): Promise<readonly ListedMail[]>;
  count(filter: Pick<MailFilter, "to" | "query">): Promise<number>;
  raw(id: string): Promise<Buffer | undefined>;
  deleteAll(): Promise<number>;
  /** Resolves when mails have been stored after the call, or `signal` is aborted. */
  changed(signal: AbortSignal): Promise<void>;
}

const batchMax = 500;
const batchBytesMax = 8 * 1024 * 1024;

/** Mails in PostgreSQL. One insert runs at a time; mails that arrive meanwhile are inserted together by the next. */
export function createMailStore(database: Database): MailStore {
  const waiting: { mail: CaughtMail; resolve: () => void; reject: (error: unknown) => void }[] = [];
  let inserting = false;
  const wakeups = new Set<() => void>();

  async function insertWaiting(): Promise<void> {
    inserting = true;
    for (let batch = nextBatch(); batch.length > 0; batch = nextBatch()) {
      try {
        await insert(batch.map(({ mail }) => mail));
        for (const { resolve } of batch) resolve();
        for (const wake of wakeups) wake();
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

  /** The messages are sent as one parameter, split by the server: an array of them would be sent as hexadecimal text. */
  async function insert(mails: readonly CaughtMail[]): Promise<void> {
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

  const matching = ({ to, query }: Pick<MailFilter, "to" | "query">) => {
    const pattern = query === undefined ? null : `%${query.replace(/[\\%_]/g, "\\$&")}%`;
    return sql`
      (${to ?? null}::text is null or recipients @> array[${to ?? null}::text]) and
      (${pattern}::text is null or subject ilike ${pattern} or sender ilike ${pattern} or array_to_string(recipients, ' ') ilike ${pattern})`;
  };

  return {
    add: (mail) =>
      new Promise((resolve, reject) => {
        waiting.push({ mail, resolve, reject });
        if (!inserting) void insertWaiting();
      }),
    async list({ limit, before, after, ...filter }) {
      const rows = await database.rows<Omit<ListedMail, "position"> & { position: bigint }>(sql`
        select message_id as id, position, sender as "from", recipients as "to", subject, received_at as "receivedAt", size
        from mails
        where position < ${before ?? Number.MAX_SAFE_INTEGER}::bigint and position > ${after ?? 0}::bigint and ${matching(filter)}
        order by position desc limit ${limit}::int`);
      return rows.map((row) => ({ ...row, position: Number(row.position) }));
    },
    count: async (filter) =>
      (await database.one<{ count: number }>(sql`select count(*)::int as count from mails where ${matching(filter)}`)).count,
    raw: async (id) => (await database.maybe<{ raw: Buffer }>(sql`select raw from mails where message_id = ${id}`))?.raw,
    deleteAll: () => database.run(sql`delete from mails`),
    changed: (signal) =>
      new Promise((resolve) => {
        if (signal.aborted) return resolve();
        const wake = () => {
          wakeups.delete(wake);
          signal.removeEventListener("abort", wake);
          resolve();
        };
        signal.addEventListener("abort", wake, { once: true });
        wakeups.add(wake);
      }),
  };
}
