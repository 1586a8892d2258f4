import type { Database } from "../database/database.ts";
import { sql } from "../database/sql.ts";
import { createMailWriter } from "./mail-writer.ts";
import type { CaughtMail } from "./mail-writer.ts";

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

/** Mails in PostgreSQL. */
export function createMailStore(database: Database): MailStore {
  const wakeups = new Set<() => void>();
  const add = createMailWriter(database, () => wakeups.forEach((wake) => wake()));

  const matching = ({ to, query }: Pick<MailFilter, "to" | "query">) => {
    const pattern = query === undefined ? null : `%${query.replace(/[\\%_]/g, "\\$&")}%`;
    return sql`
      (${to ?? null}::text is null or recipients @> array[${to ?? null}::text]) and
      (${pattern}::text is null or subject ilike ${pattern} or sender ilike ${pattern} or array_to_string(recipients, ' ') ilike ${pattern})`;
  };

  return {
    add,
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
