import { sql } from "@kontor/platform/database/sql.ts";
import type { Sql } from "@kontor/platform/database/sql.ts";
import { earliestId } from "@kontor/platform/ids/ids.ts";
import type { DatabaseName } from "./roles.ts";

/** Rows as a shop has them some time after they were written: `count` of them, made at `at`. */
interface Made {
  readonly at: Date;
  readonly count: number;
}

type Filler = (made: Made) => Sql;

/** An id as it was made at a time, with the number `n` of `numbers`. */
const id = (prefix: string, { at }: Made): Sql => sql`(${earliestId(prefix, at)}::text || lpad(n::text, 16, '0'))`;
const numbers = ({ count }: Made): Sql => sql`from generate_series(1, ${count}::int) as numbers (n)`;
const hours = (count: number, { at }: Made): Date => new Date(at.getTime() + count * 3_600_000);

const platform: Readonly<Record<string, Filler>> = {
  events: (made) => sql`insert into events (epoch, xid, id, stream, version, type, data, actor, trace, correlation, causation, at)
    select 1, pg_current_xact_id(), ${id("evt", made)}, ${id("str", made)}, 1, 'test.happened', ''::bytea, '', '', '', '', ${made.at} ${numbers(made)}`,
  idempotency_keys: (made) => sql`insert into idempotency_keys (key, fingerprint, response, created_at, expires_at)
    select ${id("key", made)}, '0'::bytea, '0'::bytea, ${made.at}, ${hours(25, made)} ${numbers(made)}`,
  tasks: (made) => sql`insert into tasks (id, queue, key, type, payload, state, due_at, correlation, trace, created_at, ended_at)
    select ${id("tsk", made)}, 'test', ${id("tsk", made)}, 'test', ''::bytea, case when n % 20 = 0 then 'dead' else 'done' end, ${made.at}, '', '', ${made.at}, ${made.at} ${numbers(made)}`,
  parked_events: (
    made,
  ) => sql`with reader as (insert into subscriptions (name, publisher) values ('test.reader', 'test') on conflict do nothing)
    insert into parked_events (subscription, stream, epoch, xid, position, id, version, type, data, actor, trace, correlation, causation, at, cause, attempts)
    select 'test.reader', ${id("str", made)}, 1, '1', n, ${id("evt", made)}, 1, 'test.happened', ''::bytea, '', '', '', '', ${made.at}, 'test', 10 ${numbers(made)}`,
};

const catalog: Readonly<Record<string, Filler>> = {
  categories: (made) => sql`insert into categories (id, version, name, slug, position, created_at, updated_at)
    select ${id("cat", made)}, 1, 'Things', ${id("cat", made)}, n, ${made.at}, ${made.at} ${numbers({ ...made, count: Math.ceil(made.count / 100) })}`,
  products: (made) => sql`insert into products (id, version, status, handle, vendor, tags, state, created_at, updated_at)
    select ${id("prd", made)}, 1, 'PUBLISHED', ${id("prd", made)}, 'Vendor ' || n % 50, array['tag ' || n % 20], ''::bytea,
      ${made.at}::timestamptz + n * interval '1 second', ${made.at} ${numbers(made)}`,
  variants: (made) => sql`insert into variants (sku, id, product, title, currency, price, cheapest)
    select ${id("SKU", made)}, ${id("var", made)}, ${id("prd", made)}, '', 'EUR', 100000 + n, true ${numbers(made)}`,
  product_categories: (made) => sql`insert into product_categories (product, category)
    select ${id("prd", made)}, (select min(id) from categories) ${numbers(made)}`,
  availability: (made) => sql`insert into availability (sku, available, version) select ${id("SKU", made)}, 1, 1 ${numbers(made)}`,
};

const provider: Readonly<Record<string, Filler>> = {
  sessions: (
    made,
  ) => sql`insert into sessions (key, page, reference, status, currency, amount, return_url, decline_code, created_at, updated_at)
    select ${id("att", made)}, ${id("page", made)}, '', case when n % 2 = 0 then 'succeeded' else 'closed' end, 'EUR', 100, '', '', ${made.at}, ${made.at} ${numbers(made)}`,
  charges: (made) => sql`insert into charges (id, session_key, reference, currency, amount, refunded, at)
    select ${id("ch", made)}, ${id("att", made)}, '', 'EUR', 100, 0, ${made.at} ${numbers(made)}`,
  refunds: (made) => sql`insert into refunds (id, key, session_key, reference, status, currency, amount, at)
    select ${id("rf", made)}, ${id("rfd", made)}, ${id("att", made)}, '', 'succeeded', 'EUR', 100, ${made.at} ${numbers(made)}`,
  webhooks: (made) => sql`insert into webhooks (id, session_key, type, times, at, delivered_at)
    select ${id("evt", made)}, ${id("att", made)}, 'session.succeeded', 1, ${made.at}, ${made.at} ${numbers(made)}`,
};

const own: Readonly<Partial<Record<DatabaseName, Readonly<Record<string, Filler>>>>> = {
  catalog,
  provider,
  checkout: {
    sagas: (made) => sql`insert into sagas (id, name, subject, key, fingerprint, input, call, status, reply, created_at, ended_at)
    select ${id("chk", made)}, 'place-order', ${id("crt", made)}, ${id("key", made)}, '', ''::bytea, '{}', 'DONE', ''::bytea, ${made.at}, ${made.at} ${numbers(made)}`,
  },
  identity: {
    accounts: (made) => sql`insert into accounts (id, version, email, email_key, name, password_hash, status, roles, created_at, updated_at)
      select ${id("usr", made)}, 1, ${id("usr", made)}, ${id("usr", made)}, '', '', 'VERIFIED', '{}', ${made.at}, ${made.at} ${numbers(made)}`,
    registrations: (
      made,
    ) => sql`insert into registrations (account, email, email_key, name, password_hash, version, verification, code_expires_at, created_at, expires_at)
      select ${id("usr", made)}, ${id("usr", made)}, ${id("usr", made)}, '', '', 1, ${id("vrf", made)}, ${hours(1, made)}, ${made.at}, ${hours(24, made)} ${numbers(made)}`,
    mailed_addresses: (made) =>
      sql`insert into mailed_addresses (email_digest, mailed_at) select ${id("usr", made)}, ${made.at} ${numbers(made)}`,
    password_resets: (made) => sql`insert into password_resets (id, email_key, token_hash, created_at, expires_at)
      select ${id("rst", made)}, ${id("usr", made)}, sha256(${id("rst", made)}::bytea), ${made.at}, ${hours(1, made)} ${numbers(made)}`,
    verifications: (made) => sql`insert into verifications (id, account, expires_at, created_at)
      select ${id("vrf", made)}, ${id("usr", made)}, ${hours(1, made)}, ${made.at} ${numbers(made)}`,
    sessions: (made) => sql`insert into sessions (id, account, generation, created_at, last_used_at, expires_at)
      select ${id("ses", made)}, ${id("usr", made)}, 1, ${made.at}, ${made.at}, ${hours(720, made)} ${numbers(made)}`,
  },
  inventory: {
    stock: (made) =>
      sql`insert into stock (sku, on_hand, reserved, version, updated_at) select ${id("SKU", made)}, 1, 0, 1, ${made.at} ${numbers(made)}`,
    movements: (made) => sql`insert into movements (id, sku, kind, quantity, note, order_id, actor, at)
      select ${id("mov", made)}, ${id("SKU", made)}, 'RECEIVED', 1, '', '', '', ${made.at} ${numbers(made)}`,
    reservations: (made) => sql`insert into reservations (order_id, status, lines, expires_at, updated_at)
      select ${id("ord", made)}, (array['REFUSED', 'FREED', 'CLOSED', 'SOLD', 'SOLD', 'SOLD', 'SOLD', 'SOLD'])[1 + n % 8], '[]', ${hours(25, made)}, ${made.at} ${numbers(made)}`,
  },
  notifications: {
    notifications: (made) => sql`insert into notifications (id, account, kind, subject, created_at, sent_at, task, event)
      select ${id("ntf", made)}, ${id("usr", made)}, 'ORDER_CONFIRMATION', '', ${made.at}, ${made.at}, '', ${id("evt", made)} ${numbers(made)}`,
  },
  orders: {
    // One in twenty was never placed; the others have been completed.
    orders: (
      made,
    ) => sql`insert into orders (id, version, status, customer, currency, total, payment, payment_secret, state, created_at, updated_at)
      select ${id("ord", made)}, 1, case when n % 20 = 0 then 'VOID' else 'COMPLETED' end, case when n % 20 = 0 then '' else 'usr_' || n % 100 end, 'EUR', 100, '', '', ''::bytea,
        ${made.at}::timestamptz + n * interval '1 second', ${made.at} ${numbers(made)}`,
  },
  payments: {
    payments: (
      made,
    ) => sql`insert into payments (id, version, order_id, customer, status, currency, amount, captured, refunded, secret, attempts, refunds, created_at, updated_at)
      select ${id("pay", made)}, 1, case when n % 20 = 0 then '' else ${id("ord", made)} end, '', case when n % 20 = 0 then 'VOID' else 'CAPTURED' end, 'EUR', 100,
        case when n % 20 = 0 then 0 else 100 end, 0, ${id("secret", made)}, '[]', '[]', ${made.at}, ${made.at} ${numbers(made)}`,
  },
  mailbox: {
    mails: (made) => sql`insert into mails (message_id, sender, recipients, subject, received_at, raw)
      select ${id("tsk", made)}, '', array[${id("usr", made)}], '', ${made.at}, '0'::bytea ${numbers(made)}`,
  },
};

/** The statements that fill a database's tables with rows of one time, by table, in the order of their references; of tables that stay small there is none. */
export function fillersOf(database: DatabaseName): Readonly<Record<string, Filler>> {
  const common = database === "mailbox" || database === "provider" ? {} : platform;
  return { ...common, ...own[database] };
}
