import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { pathToFileURL } from "node:url";
import { commitProblems, subjectProblem } from "./commits.ts";
import { dependencies } from "./dependencies.ts";
import { lockProblems, manifestProblems } from "./lock-file.ts";
import { reasonProblems, reasonsOf } from "./reasons.ts";
import { readSources, shown } from "./sources.ts";
import { sqlProblems } from "./sql-strings.ts";
import { swallowedErrors } from "./swallowed-errors.ts";

const at = (path: string, text: string) => ({ path, text });

describe("checks of the sources", () => {
  it("SEC-03: catches SQL that is built from strings", () => {
    for (const text of [
      "await client.query(`select * from orders where id = '${id}'`);",
      'await client.query("select * from orders where id = " + id);',
      "await client.query(text + id);",
      "await database.rows(sql(text));",
      "await database.rows(sql.script(text));",
      'import pg from "pg";',
      "const text = `select * from orders where id = ${id}`;",
      "const text = `\n  delete from orders where id = ${id}`;",
    ])
      assert.equal(sqlProblems([at("services/orders/src/a.ts", text)]).length > 0, true, text);
    for (const text of [
      "await database.rows(sql`select * from orders where id = ${id}`);",
      "const part = sql`update orders set state = ${state}`;",
      "const page = await index.query({ text });",
      "throw new Error(`select one of these`);",
    ])
      assert.deepEqual(sqlProblems([at("services/orders/src/a.ts", text)]), [], text);
  });

  it("catches SQL in verify, whose tests may look at tables", () => {
    const text = "await database.rows(sql`select id from orders`);";
    assert.deepEqual(
      sqlProblems([at("apps/kontor/verify/i2-sold.ts", text)]).map(({ message }) => message),
      ["verify asks for facts: SQL stays with the service or seam that owns the table"],
    );
    assert.deepEqual(sqlProblems([at("apps/kontor/verify/verify.int.test.ts", text)]), []);
  });

  it("SEC-03: the tree has no SQL that is built from strings", () => {
    assert.deepEqual(sqlProblems(readSources("ts")).map(shown), []);
  });

  it("API-05: catches refusals that no proto has, or has with another code", () => {
    const reasons = reasonsOf([
      at("contracts/proto/kontor/api/v1/common.proto", 'enum Reason { NOT_FOUND = 4 [(refusal) = {code: "not_found", title: "x"}]; }'),
      at(
        "contracts/proto/kontor/orders/v1/orders.proto",
        'enum Reason {\n  ORDER_STATE = 1 [(kontor.api.v1.refusal) = {\n    code: "failed_precondition"\n    title: "x"\n  }];\n}',
      ),
    ]);
    const found = (path: string, reason: string, code: string): string[] =>
      reasonProblems([at(path, `throw refuse({ reason: "${reason}", code: "${code}" })`)], reasons).map(({ message }) => message);
    assert.deepEqual(found("services/orders/src/a.ts", "ORDER_STATE", "failed_precondition"), []);
    assert.deepEqual(found("services/orders/src/a.ts", "NOT_FOUND", "not_found"), []);
    assert.deepEqual(found("gateway/a.ts", "ORDER_STATE", "failed_precondition"), []);
    assert.match(found("services/orders/src/a.ts", "NOT_FOUND", "aborted")[0] ?? "", /is not_found in its proto/);
    assert.match(found("services/carts/src/a.ts", "ORDER_STATE", "failed_precondition")[0] ?? "", /no reason enum of carts/);
    assert.match(found("platform/a.ts", "MADE_UP", "aborted")[0] ?? "", /no reason enum has MADE_UP/);
  });

  it("API-05: every refusal in the tree has its reason and code in a proto", () => {
    assert.deepEqual(reasonProblems(readSources("ts"), reasonsOf(readSources("proto"))).map(shown), []);
  });

  it("DEV-06: catches rejections that are dropped without a reason", () => {
    // Not written out, because this file is checked too.
    const drop = "catch(() => undefined)";
    const found = (text: string) => swallowedErrors([at("services/orders/src/a.ts", text)]).map(({ line }) => line);
    assert.deepEqual(found(`first();\nawait work().${drop};`), [2]);
    for (const handler of ["catch((error) => {})", "catch(error => null)", "then(done, () => undefined)", "catch(async () => {})"])
      assert.deepEqual(found(`await work().${handler};`), [1], handler);
    assert.deepEqual(found(`await work().${drop}; // whoever began it has been told`), []);
    assert.deepEqual(found(`// Whoever began it has been told.\nawait work().${drop};`), []);
    assert.deepEqual(found("const found = await work().catch((error) => tell(error));"), []);
  });

  it("DEV-06: the tree drops no error without a reason", () => {
    assert.deepEqual(swallowedErrors(readSources("ts")).map(shown), []);
  });

  it("DEV-11: every commit of the history has a conventional subject, in a shallow clone too", () => {
    assert.deepEqual(commitProblems().map(shown), []);
    const folder = mkdtempSync(join(tmpdir(), "kontor-commits-"));
    const git = (...args: readonly string[]) =>
      execFileSync("git", ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "core.hooksPath=/dev/null", ...args], {
        cwd: folder,
        stdio: "pipe",
      });
    try {
      assert.deepEqual(commitProblems(folder), []);
      git("init", "--quiet", "origin");
      for (const subject of ["nothing conventional", "wip", "feat: the last"])
        git("-C", "origin", "commit", "--quiet", "--allow-empty", "--no-gpg-sign", "-m", subject);
      assert.deepEqual(
        commitProblems(join(folder, "origin")).map(({ message }) => message.split('"')[1]),
        ["wip", "nothing conventional"],
      );
      git("clone", "--quiet", "--depth", "2", pathToFileURL(join(folder, "origin")).href, "shallow");
      assert.equal(commitProblems(join(folder, "shallow")).length, 1);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it("DEV-11: knows conventional subjects", () => {
    for (const subject of [
      "feat(inventory): hold stock for an order",
      "fix: answer 409",
      "chore!: drop node 20",
      "perf(search, catalog): read less",
      "Merge branch 'x'",
    ])
      assert.equal(subjectProblem(subject), undefined, subject);
    for (const subject of [
      "Hold stock",
      "feat hold stock",
      "feature: hold stock",
      "feat: ",
      "feat: hold stock.",
      "Feat: hold",
      `feat: ${"x".repeat(100)}`,
      "wip",
    ])
      assert.notEqual(subjectProblem(subject), undefined, subject);
  });

  it("S30: catches addresses and missing hashes in the lock file, and versions that are not exact", () => {
    const lock = (entry: object): string => JSON.stringify({ packages: { "": {}, "services/orders": {}, "node_modules/pg": entry } });
    assert.deepEqual(lockProblems(at("l", lock({ version: "8.0.0", integrity: "sha512-x" }))), []);
    assert.deepEqual(lockProblems(at("l", lock({ link: true, resolved: "services/orders" }))), []);
    assert.equal(lockProblems(at("l", lock({ version: "8.0.0" }))).length, 1);
    assert.equal(lockProblems(at("l", lock({ version: "8.0.0", optional: true }))).length, 1);
    assert.deepEqual(lockProblems(at("l", lock({ version: "8.0.0", optional: true, os: ["darwin"] }))), []);
    assert.equal(lockProblems(at("l", lock({ resolved: "https://registry.example/pg.tgz", integrity: "sha512-x" }))).length, 1);
    const versions = {
      a: "1.2.3",
      b: "npm:@x/y@16.1.0-beta.17",
      "@kontor/platform": "*",
      c: "^1.2.3",
      d: "*",
      e: "git+https://x/y.git",
      f: "https://x/y.tgz",
      g: "latest",
    };
    assert.deepEqual(
      manifestProblems(at("p", JSON.stringify({ dependencies: versions }))).map(({ message }) => message[0]),
      ["c", "d", "e", "f", "g"],
    );
  });

  it("lists who imports what of ours", () => {
    assert.equal(
      dependencies([
        at(
          "services/orders/src/a.ts",
          'import { a } from "@kontor/platform/x.ts";\nimport { b } from "@kontor/contracts/gen/kontor/carts/v1/carts_pb.js";',
        ),
        at(
          "services/orders/src/b.ts",
          'import { c } from "./a.ts";\nimport { d } from "@kontor/contracts/money.ts";\nimport { e } from "pg";',
        ),
        at("services/orders/src/a.int.test.ts", 'import { a } from "@kontor/platform/x.ts";\nimport { f } from "@kontor/carts";'),
        at("contracts/money.ts", ""),
      ]).replace(/^#.*\n/, ""),
      "contracts -> nothing\nservices/orders -> contracts contracts/carts platform\nservices/orders, tests -> services/carts\n",
    );
  });
});
