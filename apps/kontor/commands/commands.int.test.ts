import assert from "node:assert/strict";
import { chmod, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { after, before, describe, it } from "node:test";
import { eraseEmbeddedPostgres, startEmbeddedPostgres } from "@kontor/platform/database/embedded.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import { createLogger } from "@kontor/platform/telemetry/create-logger.ts";
import { run } from "../main.ts";
import { withDatabases } from "./app/with-databases.ts";

/** A data folder without a running shop, on which commands work one after the other. */
let folder = "";
/** Each command has its own output: what an earlier one still logs about PostgreSQL goes to the earlier output. */
const context = (output = { out: "", err: "" }, more: Readonly<Record<string, string>> = {}) => ({
  env: {
    KONTOR_DATA: join(folder, "shop"),
    KONTOR_PORT: "0",
    KONTOR_MAILBOX_PORT: "0",
    KONTOR_SMTP_PORT: "0",
    KONTOR_PROVIDER_PORT: "0",
    ...more,
  },
  stdin: Readable.from([]),
  stdout: { write: (text: string) => (output.out += text) },
  stderr: { write: (text: string) => (output.err += text) },
});

async function kontor(...args: readonly string[]): Promise<{ readonly code: number; readonly out: string; readonly err: string }> {
  const output = { out: "", err: "" };
  const code = await run(args, context(output));
  return { code, ...output };
}

async function succeeds(...args: readonly string[]): Promise<string> {
  const { code, out, err } = await kontor(...args);
  assert.deepEqual([code, err], [0, ""], `kontor ${args.join(" ")}\n${out}`);
  return out;
}

describe("commands on a data folder of their own", () => {
  /** What the commands said that filled the shop. */
  let seeded = "";
  let imported = "";

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "kontor-commands-"));
    await chmod(folder, 0o711);
    // One that runs all the time, so that not every command starts and stops its own.
    await startEmbeddedPostgres({ folder: join(folder, "shop"), log: createLogger({ service: "test", level: "silent" }) });
    seeded = await succeeds("seed");
    const file = join(folder, "products.csv");
    await writeFile(file, "Handle,Title,Variant Price,Variant Inventory Qty,Variant SKU\nrope,Rope,12,4,ROPE\npen,Pen,3,4,PEN-BRASS\n");
    imported = await succeeds("import", "shopify", file, "--currency", "eur");
  });
  after(async () => {
    await eraseEmbeddedPostgres(join(folder, "shop"));
    await rm(folder, { recursive: true, force: true });
  });

  it("seeds, imports and makes users without a shop", async () => {
    assert.match(seeded, /^Demo products: 41 created, 0 updated, 0 unchanged; stock booked for \d+ SKUs\.$/m);
    assert.match(await succeeds("seed"), /^Demo products: 0 created, 0 updated, 41 unchanged; stock booked for 0 SKUs\.$/m);
    assert.match(imported, /^Products {2}1 created, 0 updated, 0 unchanged, 1 rejected$/m);
    assert.match(imported, /line 3 {2}pen all its SKUs are another product's \(SKU_TAKEN\)/);
    const made = await succeeds("user", "create", "--email", "ada@example.com", "--name", "Ada", "--role", "admin", "--role", "support");
    assert.match(made, /^usr_\w+ {2}ada@example\.com {2}admin, support\npassword: \S{20}\nIt is not shown again\.\n$/);
    assert.doesNotMatch(
      await succeeds("user", "create", "--email", "bob@example.com", "--name", "Bob", "--password", "correct horse"),
      /password/,
    );
    const taken = await kontor("user", "create", "--email", "ada@example.com", "--name", "Ada");
    assert.deepEqual([taken.code, taken.err], [1, "kontor: There is an account with this e-mail address (EMAIL_TAKEN)\n"]);
  });

  it("CON-03: rebuilds what is derived from events, and says what differs from them", async () => {
    assert.equal(
      await succeeds("rebuild"),
      "catalog    search index rebuilt with 42 products; stock figures read again\n" +
        "catalog    42 products compared: all as their events say\n" +
        "inventory  67 SKUs compared: all as their events say\n" +
        "orders     0 orders compared: all as their events say\n",
    );
    await withDatabases(
      context(),
      "inventory",
      async (databases) => void (await databases.get("inventory")!.run(sql`update stock set on_hand = 5 where sku = 'ROPE'`)),
    );
    const { code, out } = await kontor("rebuild", "--check", "inventory");
    assert.deepEqual(
      [code, out],
      [1, "inventory  67 SKUs compared: 1 differ\n           ROPE has 5 units stored, and its movements sum to 4\n"],
    );
    await withDatabases(
      context(),
      "inventory",
      async (databases) => void (await databases.get("inventory")!.run(sql`update stock set on_hand = 4 where sku = 'ROPE'`)),
    );
  });

  it("MSG-06: lists, replays and skips parked events and dead tasks", async () => {
    assert.equal(await succeeds("parked", "list"), "Nothing is parked.\n");
    assert.equal(await succeeds("tasks", "list"), "No task is dead.\n");
    await withDatabases(context(), undefined, async (databases) => {
      const catalog = databases.get("catalog")!;
      await catalog.run(sql`insert into parked_events (subscription, stream, epoch, xid, position, id, version, type, data, actor, trace, correlation, causation, at, cause, attempts)
        select 'catalog.availability', 'ROPE', 1, '1', n, 'evt_' || n, n, 'inventory.stock.moved', '', '', '', '', '', now(), case n when 1 then 'TypeError: odd' else '' end, case n when 1 then 5 else 0 end
        from generate_series(1, 3) n`);
      await databases.get("orders")!
        .run(sql`insert into tasks (id, queue, key, type, payload, due_at, state, attempts, cause, correlation, trace, created_at, ended_at)
        select 'tsk_dead' || n, 'order-clock', 'ord_' || n, 'x', '', now(), 'dead', 9, 'NOT_FOUND', '', '', now(), now() from generate_series(1, 3) n`);
    });
    const parked = (await succeeds("parked", "list")).split("\n");
    assert.match(parked[1]!, /^catalog +catalog\.availability +ROPE +evt_1 +inventory\.stock\.moved +5 +never by itself +TypeError: odd$/);
    assert.match(parked[2]!, /evt_2 .* after those before it$/);
    assert.equal(parked.length, 5);
    assert.equal(await succeeds("parked", "replay", "--service", "catalog"), "3 events are tried again, in the order of their streams.\n");
    assert.equal(await succeeds("parked", "skip", "evt_1", "evt_2"), "2 events were skipped.\n");
    assert.equal((await kontor("parked", "skip", "evt_1")).code, 1);
    assert.equal(await succeeds("parked", "skip", "--all"), "1 events were skipped.\n");

    assert.match(
      await succeeds("tasks", "list", "--queue", "order-clock"),
      /^orders +order-clock +tsk_dead1 +dead +9 +\S+ +ord_1 +NOT_FOUND$/m,
    );
    const some = await kontor("tasks", "replay", "tsk_dead1", "tsk_unknown");
    assert.deepEqual([some.code, some.out, some.err], [1, "1 of 2 tasks are due again.\n", "kontor: not dead: tsk_unknown\n"]);
    assert.equal(await succeeds("tasks", "skip", "tsk_dead1", "tsk_dead2"), "2 of 2 tasks were ended.\n");
    assert.equal(await succeeds("tasks", "replay", "--all", "--service", "orders"), "1 dead tasks are due again.\n");
    assert.equal(await succeeds("tasks", "skip", "tsk_dead3"), "1 of 1 tasks were ended.\n");
    const unknown = await kontor("tasks", "list", "--service", "shipping");
    assert.equal(unknown.code, 2);
    assert.match(unknown.err, /no service "shipping": carts, catalog/);
  });

  it("the doctor finds nothing wrong with a sound shop, and reset deletes all of it", async () => {
    const healthy = await succeeds("doctor");
    for (const line of [
      /^ok +master key +stored in/m,
      /^ok +databases +PostgreSQL responds/m,
      /^ok +migrations +all applied$/m,
      /^ok +parked events +none$/m,
      /^ok +dead tasks +none$/m,
    ])
      assert.match(healthy, line);
    await rm(join(folder, "shop", "master.key"));
    const broken = await kontor("doctor");
    assert.equal(broken.code, 1);
    assert.match(broken.out, /^wrong +master key +.* is missing, though there is a shop\n +Without the right one/m);
    assert.match(await succeeds("reset", "--yes"), /is deleted/);
    assert.deepEqual(await readdir(folder), ["products.csv"]);
    assert.match(await succeeds("doctor"), /^ok +databases +not created yet/m);
  });

  it("S18: the doctor warns of an https address without proxies", async () => {
    const doctorSays = async (proxies: string): Promise<string> => {
      const output = { out: "", err: "" };
      await run(["doctor"], context(output, { KONTOR_PUBLIC_URL: "https://shop.example", KONTOR_PROXIES: proxies }));
      return output.out;
    };
    assert.match(await doctorSays("0"), /^warn +proxies .*\n +All clients of a proxy count as one/m);
    assert.doesNotMatch(await doctorSays("1"), /^warn +proxies/m);
  });
});
