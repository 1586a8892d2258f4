import assert from "node:assert/strict";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { after, before, describe, it } from "node:test";
import { eraseEmbeddedPostgres, startEmbeddedPostgres } from "@kontor/platform/database/embedded.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import { createLogger } from "@kontor/platform/telemetry/create-logger.ts";
import { testDatabase } from "@kontor/platform/testing/postgres.ts";
import { run } from "../main.ts";
import { databaseNames } from "../roles.ts";
import { withDatabases } from "./app/with-databases.ts";

describe("commands on what the version before has left", () => {
  let folder = "";
  let env: Readonly<Record<string, string>> = {};
  const contextOf = (more: Readonly<Record<string, string>> = {}) => {
    const output = { out: "", err: "" };
    const stdout = { write: (text: string) => (output.out += text) };
    const stderr = { write: (text: string) => (output.err += text) };
    return { output, context: { env: { ...env, ...more }, stdin: Readable.from([]), stdout, stderr } };
  };
  const kontor = async (args: readonly string[], more?: Readonly<Record<string, string>>) => {
    const { output, context } = contextOf(more);
    return { code: await run(args, context), ...output };
  };

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "kontor-before-"));
    await chmod(folder, 0o711);
    env = {
      KONTOR_DATA: join(folder, "shop"),
      KONTOR_PORT: "0",
      KONTOR_MAILBOX_PORT: "0",
      KONTOR_SMTP_PORT: "0",
      KONTOR_PROVIDER_PORT: "0",
    };
    await startEmbeddedPostgres({ folder: join(folder, "shop"), log: createLogger({ service: "test", level: "silent" }) });
    assert.equal((await kontor(["seed"])).code, 0);
    await withDatabases(contextOf().context, "orders", async (databases) => {
      const orders = databases.get("orders")!;
      await orders.run(sql`alter table orders drop column iso_4217 cascade`);
      await orders.run(sql`drop index orders_by_status`);
      await orders.run(sql`create index orders_by_time on orders (created_at desc, id desc)`);
      await orders.run(sql`insert into orders (id, version, status, customer, currency, total, payment, payment_secret, state, created_at, updated_at)
        values ('ord_1', 0, 'VOID', '', 'HUF', 1999, '', '', '', now(), now())`);
      await orders.run(sql`delete from migrations where scope = 'orders' and number > 1`);
    });
  });
  after(async () => {
    await eraseEmbeddedPostgres(join(folder, "shop"));
    await rm(folder, { recursive: true, force: true });
  });

  it("DAT-07: verify says that it is to be brought up to date, and changes nothing", async () => {
    for (let time = 0; time < 2; time++)
      assert.deepEqual(await kontor(["verify"]), {
        code: 1,
        out: "",
        err: "kontor: 2 migrations are not applied yet, the first is orders: orders/0002-iso-4217.sql: kontor start applies them\n",
      });
  });

  it("DAT-07, DAT-01: move brings it up to date first, and copies all of it", async () => {
    const target: Record<string, string> = {};
    for (const name of databaseNames) target[`KONTOR_${name.toUpperCase()}_DATABASE_URL`] = (await testDatabase()).url;
    const { code, out, err } = await kontor(["move"], target);
    assert.deepEqual([code, err], [0, ""], out);
    assert.match(out, /All \d+ invariants hold/);
    const { context } = contextOf(target);
    const total = await withDatabases(context, "orders", (databases) => databases.get("orders")!.one(sql`select total from orders`));
    assert.deepEqual(total, { total: 199_900n });
  });
});
