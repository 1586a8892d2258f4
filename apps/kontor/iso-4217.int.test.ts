import assert from "node:assert/strict";
import { cp, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { minorUnits } from "@kontor/contracts/currencies.ts";
import { moneyTo } from "@kontor/contracts/money.ts";
import { sqlState } from "@kontor/platform/database/database.ts";
import { migrate } from "@kontor/platform/database/migrate.ts";
import type { MigrationSet } from "@kontor/platform/database/migrate.ts";
import type { PostgresDatabase } from "@kontor/platform/database/postgres.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import type { Sql } from "@kontor/platform/database/sql.ts";
import { afterTests, openTestDatabase } from "@kontor/platform/testing/postgres.ts";
import { migrationsOf } from "./migrations.ts";

/** How many decimals the releases before gave amounts: what Node 24.21 said of every currency that it knew. Those that are not here had 2. */
const decimalsBefore: Readonly<Record<number, string>> = {
  0: "AFN ALL BIF CLP COP DJF GNF HUF IDR IQD IRR ISK JPY KMF KPW KRW LAK LBP MGA MMK PKR PYG RWF SLL SOS SYP UGX VND VUV XAF XOF XPF YER",
  3: "BHD JOD KWD LYD OMR TND",
};
const notKnownBefore = "BOV CHE CHW CLF COU MXV USN UYI UYW VED XAD".split(" ");
const before = new Map(
  [...minorUnits.keys()]
    .filter((code) => !notKnownBefore.includes(code))
    .map((code) => [code, Number(Object.entries(decimalsBefore).find(([, codes]) => codes.includes(code))?.[0] ?? 2)]),
);
const at = new Date("2026-05-01T12:00:00Z");
const minor = 19_990n;

/** A table with amounts: how the release before inserted a row, named by its currency, and the amounts in minor units that the row has now. */
interface Table {
  readonly database: string;
  readonly insert: (currency: string) => Sql;
  readonly amounts: Sql;
}

const tables: Readonly<Record<string, Table>> = {
  variants: {
    database: "catalog",
    insert: (currency) => sql`with product as (
        insert into products (id, version, status, handle, vendor, tags, state, created_at, updated_at)
        values (${currency}, 1, 'PUBLISHED', ${currency}, '', '{}', '', ${at}, ${at}) on conflict do nothing)
      insert into variants (sku, id, product, title, currency, price, cheapest)
      values (${currency}, ${currency}, ${currency}, '', ${currency}, ${minor}, true)
      on conflict (sku) do update set price = excluded.price where variants.product = excluded.product`,
    amounts: sql`select currency, array[price] as amounts from variants`,
  },
  orders: {
    database: "orders",
    insert: (currency) => sql`
      insert into orders (id, version, status, customer, currency, total, payment, payment_secret, state, created_at, updated_at)
      values (${currency}, 1, 'PENDING', 'usr_1', ${currency}, ${minor}, 'pay_1', '', '', ${at}, ${at})`,
    amounts: sql`select currency, array[total] as amounts from orders`,
  },
  payments: {
    database: "payments",
    insert: (currency) => sql`
      insert into payments (id, version, order_id, customer, status, currency, amount, captured, refunded, secret, attempts, refunds, created_at, updated_at)
      values (${currency}, 1, 'ord_1', 'usr_1', 'CAPTURED', ${currency}, ${minor}, ${minor}, ${minor}, ${currency}, '[]',
        jsonb_build_array(jsonb_build_object('id', 'rfd_1', 'amount', ${String(minor)}::text)), ${at}, ${at})`,
    amounts: sql`select currency, array[amount, captured, refunded, (refunds -> 0 ->> 'amount')::bigint] as amounts from payments`,
  },
  sessions: {
    database: "provider",
    insert: (currency) => sql`
      insert into sessions (key, page, reference, status, currency, amount, return_url, decline_code, created_at, updated_at)
      values (${currency}, ${currency}, '', 'open', ${currency}, ${minor}, '', '', ${at}, ${at})`,
    amounts: sql`select currency, array[amount] as amounts from sessions`,
  },
  charges: {
    database: "provider",
    insert: (currency) => sql`insert into charges (id, session_key, reference, currency, amount, refunded, at)
      values (${currency}, ${currency}, '', ${currency}, ${minor}, ${minor}, ${at})`,
    amounts: sql`select currency, array[amount, refunded] as amounts from charges`,
  },
  refunds: {
    database: "provider",
    insert: (currency) => sql`insert into refunds (id, key, session_key, reference, status, currency, amount, at)
      values (${currency}, ${currency}, ${currency}, '', 'succeeded', ${currency}, ${minor}, ${at})`,
    amounts: sql`select currency, array[amount] as amounts from refunds`,
  },
};

/** The migrations as they were before amounts were in ISO 4217's minor units. */
async function migrationsBefore(sets: readonly MigrationSet[]): Promise<readonly MigrationSet[]> {
  return Promise.all(
    sets.map(async ({ scope, folder }) => {
      const path = await mkdtemp(join(tmpdir(), "kontor-migrations-"));
      afterTests(() => rm(path, { recursive: true }));
      const names = (await readdir(folder)).toSorted();
      const end = names.findIndex((name) => name.endsWith("-iso-4217.sql"));
      for (const name of names.slice(0, end === -1 ? names.length : end)) await cp(fileURLToPath(new URL(name, folder)), join(path, name));
      return { scope, folder: pathToFileURL(`${path}/`) };
    }),
  );
}

async function amountsIn(database: PostgresDatabase, { amounts }: Table): Promise<[string, string][]> {
  const rows = await database.rows<{ currency: string; amounts: bigint[] }>(amounts);
  return rows.flatMap(({ currency, amounts: all }) =>
    all.map((one): [string, string] => [currency, moneyTo({ currency, minor: one }).amount]),
  );
}

describe("amounts of before", () => {
  for (const [name, table] of Object.entries(tables))
    it(`DAT-07 CAT-05: ${name} are worth what they were, in every currency, and earlier releases cannot add wrong ones`, async () => {
      const sets = migrationsOf([table.database]).get(table.database)!;
      const database = await openTestDatabase({ migrations: await migrationsBefore(sets) });
      for (const currency of before.keys()) await database.run(table.insert(currency));
      await migrate(database, sets);

      const found = await amountsIn(database, table);
      assert.ok(found.length >= before.size);
      for (const [currency, amount] of found) {
        const decimals = before.get(currency)!;
        assert.equal(Number(amount), Number(minor) / 10 ** decimals, `${currency} ${amount}`);
      }
      // Neither over the row that is there nor as a new one.
      const scaled = [...before].filter(([currency, decimals]) => decimals !== minorUnits.get(currency)).map(([currency]) => currency);
      const insertScaled = async () => {
        for (const currency of scaled)
          await assert.rejects(database.run(table.insert(currency)), (error) => sqlState(error) === "23514", currency);
      };
      await insertScaled();
      await database.run(sql`delete from ${sql.name(name)}`);
      await insertScaled();
      for (const currency of before.keys()) if (!scaled.includes(currency)) await database.run(table.insert(currency));
      assert.equal(scaled.length, 17);
    });

  it("CAT-05: the search index is made again when a price in it was scaled, and only then", async () => {
    for (const [currency, rebuilds] of [
      ["COP", 1],
      ["EUR", 0],
    ] as const) {
      const sets = migrationsOf(["catalog"]).get("catalog")!;
      const database = await openTestDatabase({ migrations: await migrationsBefore(sets) });
      await database.run(tables["variants"]!.insert(currency));
      await migrate(database, sets);
      assert.equal((await database.rows(sql`select id from tasks where queue = 'rebuild-index'`)).length, rebuilds, currency);
    }
  });
});
