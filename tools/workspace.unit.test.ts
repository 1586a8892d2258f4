import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { lockProblems, manifestProblems, workspaceProblems } from "./lock-file.ts";
import { file, manifests, root, shown } from "./sources.ts";

interface Manifest {
  readonly name: string;
  readonly license?: string;
  readonly workspaces?: readonly string[];
}

const all = manifests().map(({ path, text }) => ({ path, ...(JSON.parse(text) as Manifest) }));

describe("the workspace", () => {
  it("DEV-01: the lock file has every workspace's dependencies, pinned by hash, from whichever registry is configured", () => {
    const lock = file("package-lock.json");
    assert.deepEqual(
      [...lockProblems(lock), ...workspaceProblems(lock, manifests()), ...manifests().flatMap(manifestProblems)].map(shown),
      [],
    );
  });

  it("DEV-01: catches a dependency that the lock file does not have, and a workspace that it does not know", () => {
    const manifest = (dependencies: object) => JSON.stringify({ dependencies });
    const lock = {
      path: "lock",
      text: JSON.stringify({ packages: { a: { dependencies: { pg: "1.0.0" } }, b: {}, "node_modules/pg": {} } }),
    };
    const found = workspaceProblems(lock, [
      { path: "a/package.json", text: manifest({ pg: "1.0.0", ajv: "1.0.0" }) },
      { path: "c/package.json", text: manifest({}) },
    ]);
    assert.deepEqual(
      found.map(({ path }) => path),
      ["a/package.json", "c/package.json", "lock"],
    );
  });

  it("DEV-01: every folder with a package.json is a workspace, and every workspace is one", () => {
    const folders = all[0]!.workspaces!.flatMap((pattern) => globSync(pattern, { cwd: root }));
    const expected = folders.map((folder) => `${folder.replaceAll("\\", "/")}/package.json`);
    assert.deepEqual(
      all.slice(1).map(({ path }) => path),
      expected.toSorted(),
    );
  });

  it("DEV-01: what is installed is what is declared: nothing missing, invalid or extraneous", () => {
    // The npm that runs this, or the one on the path.
    const [command, args] = process.env["npm_execpath"] === undefined ? ["npm", []] : [process.execPath, [process.env["npm_execpath"]]];
    const { stdout, stderr, error } = spawnSync(command, [...args, "ls", "--all", "--json"], {
      cwd: root,
      encoding: "utf8",
      maxBuffer: 2 ** 28,
      shell: command === "npm" && process.platform === "win32",
    });
    assert.equal(error, undefined);
    const { problems = [], ...tree } = JSON.parse(stdout) as { readonly problems?: readonly string[]; readonly dependencies?: object };
    assert.ok(Object.keys(tree.dependencies ?? {}).length > 10, stderr);
    assert.deepEqual(problems, []);
  });

  it("DEV-14: the licence is MIT, in its file and in every workspace", () => {
    assert.match(readFileSync(join(root, "LICENSE"), "utf8"), /^MIT License\n\nCopyright \(c\) \d{4} [^]+WITHOUT WARRANTY OF ANY KIND/);
    assert.deepEqual(
      all.filter(({ license }) => license !== "MIT").map(({ path }) => path),
      [],
    );
    assert.ok(all.length > 10 && all.every(({ name }) => name !== ""));
  });

  it("DEV-02: the folders are those that the architecture names, with every part in its place", () => {
    const layout = /## The system\n[^]*?(\| folder[^]*?)\n\n/.exec(file("docs/architecture.md").text)?.[1] ?? "";
    const rows = layout
      .split("\n")
      .slice(2)
      .map((row) => row.split("|").map((cell) => cell.trim()));
    const named = rows.flatMap(([, folders = ""]) => folders.match(/(?<=`)[\w-]+/g) ?? []);
    const found = globSync("*/", { cwd: root, exclude: (name) => name === "node_modules" || name.startsWith(".") });
    const tracked = found
      .map((folder) => folder.replace(/[\\/]$/, ""))
      .filter((folder) => globSync("**/*.*", { cwd: join(root, folder) }).length > 0);
    assert.deepEqual(named.toSorted(), tracked.toSorted());

    const told = (folder: string) => rows.find(([, folders]) => folders === `\`${folder}/\``)?.[2] ?? "";
    const folders = (folder: string) =>
      globSync(`${folder}/*/`, { cwd: root })
        .map((path) => path.split(/[\\/]/)[1]!)
        .filter((name) => name !== "node_modules")
        .toSorted();
    assert.deepEqual(words(told("platform").split(":")[1] ?? ""), folders("platform"));
    assert.deepEqual(words(told("services").replace(/\(.*?\)/g, "")), folders("services"));
    for (const path of ["README.md", "contracts/proto/kontor", "apps/kontor/main.ts", "docs/decisions", ".ci/run"])
      assert.ok(existsSync(join(root, path)), path);
    for (const service of folders("services"))
      for (const path of ["package.json", "src/service.ts"])
        assert.ok(existsSync(join(root, "services", service, path)), `${service} has no ${path}`);
  });
});

function words(list: string): string[] {
  return (list.match(/[a-z]+/g) ?? []).toSorted();
}
