import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, rm, truncate, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { before, describe, it } from "node:test";
import { dataIn } from "@kontor/platform/database/embedded-home.ts";
import { afterTests } from "@kontor/platform/testing/postgres.ts";
import { testFolder } from "@kontor/platform/testing/server.ts";
import { runCommand } from "./shop-process.ts";
import type { CommandResult, ShopProcess } from "./shop-process.ts";
import { openShopWithData } from "./shop-with-data.ts";
import type { ShopWithData } from "./shop-with-data.ts";

const ports = { KONTOR_PORT: "0", KONTOR_MAILBOX_PORT: "0", KONTOR_SMTP_PORT: "0", KONTOR_PROVIDER_PORT: "0" };

/** What a start that must fail says: in a sentence, without a stack, and with an exit code that says so. */
async function failedStart(environment: Readonly<Record<string, string>>, code = 1): Promise<string> {
  const { code: ended, output }: CommandResult = await runCommand(["start"], environment);
  assert.equal(ended, code, output);
  assert.doesNotMatch(output, /^\s+at .*:\d+:\d+\)?$/m, "no stack");
  return output;
}

describe("a start that cannot be", { concurrency: 2 }, () => {
  let folder = "";

  before(async () => {
    folder = await testFolder();
    afterTests(() => rm(folder, { recursive: true, force: true }));
  });

  it("INF-17: wrong, unknown and malformed variables are all named, with what is expected, and nothing is made", async () => {
    const output = await failedStart({
      KONTOR_DATA: join(folder, "never"),
      KONTOR_PORT: "eighty",
      KONTOR_CONNECTIONS: "2",
      KONTOR_REQUEST_TIMEOUT: "10",
      KONTOR_SEED: "all",
      KONTOR_PUBLIC_URL: "shop.example",
      KONTOR_SMTP_URL: "https://user:hunter2@mail.example",
      KONTOR_MAILBOXPORT: "4001",
      KONTOR_LOG_LEVEL: "loud",
    });
    const expected: Readonly<Record<string, RegExp>> = {
      KONTOR_PORT: /integer from 0 to 65535, not "eighty"/,
      KONTOR_CONNECTIONS: /integer from 3 to 1000, not "2"/,
      KONTOR_REQUEST_TIMEOUT: /duration such as .*, not "10"/,
      KONTOR_SEED: /one of demo, none, not "all"/,
      KONTOR_PUBLIC_URL: /a URL http/,
      KONTOR_SMTP_URL: /a URL smtp/,
      KONTOR_MAILBOXPORT: /not known; did you mean KONTOR_MAILBOX_PORT\?/,
      KONTOR_LOG_LEVEL: /one of debug, info, warn, error/,
    };
    for (const [name, says] of Object.entries(expected)) assert.match(output, new RegExp(`${name}: .*${says.source}`));
    assert.doesNotMatch(output, /hunter2/);
    assert.equal(await dataIn(join(folder, "never")), undefined);
  });

  it("INF-17: an invalid master key is reported, whether it is set or stored", async () => {
    const given = await failedStart({ KONTOR_DATA: join(folder, "key"), KONTOR_MASTER_KEY: "abc" });
    assert.match(given, /KONTOR_MASTER_KEY/);
    assert.doesNotMatch(given, /abc\b/);
    const kept = join(folder, "kept");
    await mkdir(kept, { recursive: true });
    await writeFile(join(kept, "master.key"), "not a key");
    assert.match(await failedStart({ KONTOR_DATA: kept, ...ports }), /master\.key/);
  });

  it("INF-17: a superfluous argument or an unknown option is reported, with the usage", async () => {
    for (const args of [["start", "now"], ["start", "--port", "80"], ["begin"]]) {
      const { code, output } = await runCommand(args, { KONTOR_DATA: join(folder, "never") });
      assert.equal(code, 2, output);
      assert.match(output, /now|--port|begin/);
    }
  });

  it("a port that is taken is named, with the variable that sets it", async () => {
    const other = createServer().listen(0, "127.0.0.1");
    await once(other, "listening");
    afterTests(() => void other.close());
    const { port } = other.address() as AddressInfo;
    const environment = { KONTOR_DATA: join(folder, "port"), KONTOR_SEED: "none", ...ports };
    for (const variable of ["KONTOR_PORT", "KONTOR_SMTP_PORT"]) {
      const output = await failedStart({ ...environment, [variable]: String(port) });
      assert.match(output, new RegExp(`port ${port} is taken .*${variable}\\b`));
    }
    assert.deepEqual(await postgresOn(environment.KONTOR_DATA), [], "its PostgreSQL was stopped again");
  });

  it("a folder that cannot be written, or is none, is named", async () => {
    await writeFile(join(folder, "file"), "");
    assert.match(await failedStart({ KONTOR_DATA: join(folder, "file"), ...ports }), /file of that name exists/);
    assert.match(await failedStart({ KONTOR_DATA: join(folder, "file", "below"), ...ports }), /file of that name exists|cannot be used/);
    // Modes mean nothing to root, but not even root may write there.
    const closed = process.getuid?.() === 0 ? "/sys/kontor" : join(folder, "closed", "kontor");
    if (closed.startsWith(folder)) await mkdir(join(folder, "closed"), { mode: 0o500 });
    assert.match(await failedStart({ KONTOR_DATA: closed, ...ports }), /cannot be written: make it writable .*or choose another/);
  });
});

describe("a start on data that are there", () => {
  let fixture: ShopWithData;
  let shop: ShopProcess;
  let order = "";

  before(async () => {
    fixture = await openShopWithData();
    shop = fixture.shop;
    order = fixture.ids["order"]!;
  });

  const wellAgain = async (): Promise<void> => {
    assert.equal((await fixture.ada.expect(200, "GET", `/v1/orders/${order}`)).body.status, "PENDING");
    const { status, body } = await fixture.ada.order([{ sku: fixture.ids["sku"]!, quantity: 1 }]);
    assert.equal(status, 201);
    order = body.id;
  };

  it("a second shop on the same data says that one is running there, and leaves it alone", async () => {
    const output = await failedStart({ ...shop.environment, ...ports });
    assert.match(output, new RegExp(`a shop is running on ${shop.folder} already; stop it first`));
    await wellAgain();
  });

  it("R12: after kill -9 of the shop it takes over the PostgreSQL that lives on", async () => {
    await shop.kill();
    await shop.start();
    assert.ok(shop.lines.some((line) => line.includes("is taken over")));
    await wellAgain();
  });

  it("R12: after kill -9 of the shop and of its PostgreSQL everything acknowledged is there", async () => {
    await shop.kill();
    const [postmaster] = await postgresOn(shop.folder);
    process.kill(postmaster!, "SIGKILL");
    await shop.start();
    await wellAgain();
    const { code, output } = await shop.run(["verify"]);
    assert.equal(code, 0, output);
  });

  it("damaged data are distinguished from other failures, with what can be done", async () => {
    assert.equal(await shop.stop(), 0);
    const data = await dataIn(shop.folder);
    await truncate(join(data!, "global", "pg_control"), 0);
    const output = await failedStart(shop.environment);
    assert.match(output, /may be damaged\. Restore a backup, or start over with kontor reset/);
    assert.match(output, /PostgreSQL's last lines:/);
    assert.deepEqual(await postgresOn(shop.folder), []);
  });
});

/** The PostgreSQL servers that run on a shop's folder. */
async function postgresOn(folder: string): Promise<number[]> {
  const ps = spawn("ps", ["-A", "-o", "pid=,args="], { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  ps.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
  await once(ps, "close");
  return output
    .split("\n")
    .filter((line) => line.includes(folder) && /postgres.* -D /.test(line))
    .map((line) => Number(line.trim().split(/\s/)[0]));
}
