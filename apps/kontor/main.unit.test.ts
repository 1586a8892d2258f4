import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { describe, it } from "node:test";
import { run } from "./main.ts";

const names = ["start", "walk", "doctor", "import", "seed", "user", "parked", "tasks", "verify", "rebuild", "certs", "reset"];

/** With `typed` on a terminal, where somebody types that. */
async function kontor(args: readonly string[], env: Readonly<Record<string, string>> = {}, typed?: string) {
  let out = "";
  let err = "";
  const code = await run(args, {
    env,
    stdin: typed === undefined ? Readable.from([]) : Object.assign(Readable.from([typed]), { isTTY: true }),
    stdout: { write: (text: string) => (out += text) },
    stderr: { write: (text: string) => (err += text) },
  });
  return { code, out, err };
}

describe("kontor", () => {
  it("lists its commands when it is called alone, or with help", async () => {
    for (const args of [[], ["help"], ["--help"]]) {
      const { code, out, err } = await kontor(args);
      assert.deepEqual([code, err], [0, ""]);
      for (const name of names) assert.match(out, new RegExp(`^  ${name} +\\S`, "m"));
    }
  });

  it("explains how each command is called", async () => {
    for (const name of names) {
      const { code, out, err } = await kontor([name, "--help"]);
      assert.deepEqual([code, err], [0, ""], name);
      assert.match(out, new RegExp(`Usage: kontor ${name}`));
      assert.deepEqual(await kontor(["help", name]), { code, out, err });
    }
  });

  it("reports wrong usage with what is wrong, the right usage, and exit code 2", async () => {
    const wrong: readonly (readonly [args: readonly string[], says: RegExp])[] = [
      [["nonsense"], /no command "nonsense"/],
      [["toString"], /no command "toString"/],
      [["start", "--port", "1"], /Unknown option '--port'/],
      [["start", "now"], /no service "now": carts, catalog/],
      [["import"], /must be one of: shopify/],
      [["import", "magento"], /"magento" is not known here, only: shopify/],
      [["import", "shopify"], /FILE is missing/],
      [["import", "shopify", "a.csv", "b.csv"], /"b.csv" is one word too many/],
      [["import", "shopify", "a.csv", "--currency", "EURO"], /"EURO" is not a currency/],
      [["import", "shopify", "a.csv", "--report"], /argument missing/],
      [["user", "create", "--name", "Ada"], /--email is missing/],
      [["user", "create", "--email", "a@example.com"], /--name is missing/],
      [["user", "create", "--email", "a@example.com", "--name", "A", "--role", "king"], /no role "king"/],
      [["parked", "skip"], /or --all/],
      [["tasks", "replay"], /say which tasks, or --all/],
      [["tasks", "list", "--state", "gone"], /--state must be one of waiting, done, dead, not "gone"/],
      [["tasks", "list", "--limit", "few"], /--limit must be a whole number/],
      [["rebuild", "payments"], /"payments" has nothing to rebuild; these have: catalog, inventory, orders/],
      [["walk", "--url", "localhost:4000"], /is not an http or https address/],
    ];
    for (const [args, says] of wrong) {
      const { code, out, err } = await kontor(args);
      assert.deepEqual([code, out], [2, ""], args.join(" "));
      assert.match(err, says);
      if (names.includes(args[0]!)) assert.match(err, /Usage: kontor/);
    }
  });

  it("INF-17: names every variable that is wrong, and starts nothing", async () => {
    const { code, out, err } = await kontor(["start"], { KONTOR_PORT: "many", KONTOR_SED: "demo" });
    assert.deepEqual([code, out], [1, ""]);
    assert.match(err, /KONTOR_PORT: expected an integer/);
    assert.match(err, /KONTOR_SED: is not known; did you mean KONTOR_SEED\?/);
    assert.doesNotMatch(err, /\n    at /);
  });

  it("checks a file without a shop, and writes down what it finds", async (t) => {
    const folder = await mkdtemp(join(tmpdir(), "kontor-import-"));
    t.after(() => rm(folder, { recursive: true }));
    const file = join(folder, "products.csv");
    await writeFile(file, "Handle,Title,Variant Price,Variant Inventory Qty\na,A,1,\nb,B,=1+1,\nc,C,2,-1\n");
    const dryRun = ["--dry-run", "--currency", "EUR"];
    const { code, out } = await kontor(["import", "shopify", file, ...dryRun, "--report", join(folder, "report.csv")]);
    assert.equal(code, 0);
    assert.match(out, /^Changed {3}Variant Inventory Qty 1$/m);
    assert.match(out, /^Products {2}2 could be imported, 1 rejected$/m);
    assert.match(out, /^Findings {2}1 rejected, 1 notes$/m);
    assert.match(out, /rejected {2}line 3 {2}b {2}Variant Price: must be decimal text/);
    const report = await readFile(join(folder, "report.csv"), "utf8");
    assert.deepEqual(report.split("\r\n"), [
      "line,handle,column,kind,message",
      '3,b,Variant Price,rejected,"must be decimal text such as 19.99, not ""=1+1"""',
      "4,c,Variant Inventory Qty,note,'-1 is below zero and counts as 0",
      "",
    ]);
    for (const [path, says] of [
      [join(folder, "none.csv"), /there is no file/],
      [folder, /cannot be read: it is a folder/],
    ] as const) {
      const failed = await kontor(["import", "shopify", path, ...dryRun]);
      assert.equal(failed.code, 1);
      assert.match(failed.err, says);
      assert.doesNotMatch(failed.err, /\n    at /);
    }
    const unwritable = await kontor(["import", "shopify", file, ...dryRun, "--report", join(folder, "no", "report.csv")]);
    assert.equal(unwritable.code, 1);
    assert.match(unwritable.err, /^kontor: the report .* cannot be written/);
  });

  it("CAT-05: takes the currency of an import from the file, the shop or the user, and never guesses it", async (t) => {
    const folder = await mkdtemp(join(tmpdir(), "kontor-import-"));
    t.after(() => rm(folder, { recursive: true }));
    const file = join(folder, "products.csv");
    const own = join(folder, "own.csv");
    await writeFile(file, "Handle,Title,Variant Price\na,A,1.00\n");
    await writeFile(own, "Handle,Title,Variant Price,Currency\na,A,100,JPY\nb,B,1.50,JPY\n");
    const unsaid = await kontor(["import", "shopify", file, "--dry-run"]);
    assert.deepEqual(
      [unsaid.code, unsaid.err.split("\n")[0]],
      [2, "kontor: nothing says which currency the prices are in: add --currency EUR, or set KONTOR_CURRENCY"],
    );
    assert.equal((await kontor(["import", "shopify", file, "--dry-run"], { KONTOR_CURRENCY: "USD" })).code, 0);
    const yen = await kontor(["import", "shopify", own, "--dry-run"], { KONTOR_CURRENCY: "USD" });
    assert.match(yen.out, /line 3 {2}b {2}Variant Price: must have no decimals in JPY/);
    const asked = await kontor(["import", "shopify", file, "--dry-run"], {}, "jpy\n");
    assert.match(asked.out, /Which currency are the prices in\?/);
    assert.match(asked.out, /^Products {2}1 could be imported, 0 rejected$/m);
    const other = await kontor(["import", "shopify", own, "--dry-run", "--currency", "USD"]);
    assert.deepEqual([other.code, /is JPY, and the import is in USD/.test(other.out)], [1, true]);
  });

  it("fails when nothing came over, also of a file that has only its column names", async (t) => {
    const folder = await mkdtemp(join(tmpdir(), "kontor-import-"));
    t.after(() => rm(folder, { recursive: true }));
    const file = join(folder, "products.csv");
    await writeFile(file, "Handle,Title,Variant SKU,Variant Price\n");
    const { code, out, err } = await kontor(["import", "shopify", file, "--dry-run", "--currency", "EUR"]);
    assert.deepEqual([code, err], [1, "kontor: no product of the file could be imported\n"]);
    assert.match(out, /^Products {2}0 could be imported, 0 rejected$/m);
  });

  it("deletes nothing without --yes, and says when there is nothing", async (t) => {
    const folder = await mkdtemp(join(tmpdir(), "kontor-reset-"));
    t.after(() => rm(folder, { recursive: true }));
    const nothing = await kontor(["reset"], { KONTOR_DATA: folder });
    assert.deepEqual([nothing.code, nothing.out], [0, `There is no shop in ${folder}.\n`]);
    await writeFile(join(folder, "master.key"), "x");
    await writeFile(join(folder, "notes.txt"), "mine");
    const unconfirmed = await kontor(["reset"], { KONTOR_DATA: folder });
    assert.deepEqual([unconfirmed.code, unconfirmed.err], [1, "kontor: add --yes: there is no terminal for a prompt\n"]);
    const confirmed = await kontor(["reset", "--yes"], { KONTOR_DATA: folder });
    assert.equal(confirmed.code, 0);
    assert.deepEqual(await readdir(folder), ["notes.txt"], "files of others stay");
  });
});
