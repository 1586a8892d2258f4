import assert from "node:assert/strict";
import { globSync } from "node:fs";
import { basename, join } from "node:path";
import { describe, it } from "node:test";
import { linkProblems, pages } from "./markdown.ts";
import { file, root, shown } from "./sources.ts";

const services = globSync("services/*/", { cwd: root }).map((folder) => basename(folder));

describe("pages", () => {
  it("DOC-03: every link leads to a file that is there", () => {
    assert.ok(pages().length > 15);
    assert.deepEqual(pages().flatMap(linkProblems).map(shown), []);
  });

  it("sees links that lead nowhere", () => {
    const links =
      "[a](docs/architecture.md) [b](docs/nothing.md) [c](https://x.example/y)\n[d](CONTRIBUTING.md#style) [e](CONTRIBUTING.md#nothing) [f](../x.md)";
    assert.deepEqual(
      linkProblems({ path: "README.md", text: `${links}\n\`\`\`\n[g](not-a-link.md)\n\`\`\`\n` }).map(
        ({ line, message }) => `${line} ${message}`,
      ),
      [
        "1 leads to docs/nothing.md, which is not there",
        "2 CONTRIBUTING.md has no heading #nothing",
        "2 leads to ../x.md, which is not there",
      ],
    );
  });

  it("DOC-03: the list of services is the repository's", () => {
    const architecture = file("docs/architecture.md");
    const listed = /^\| `services\/` \| (.*) \|$/m.exec(architecture.text)?.[1] ?? "";
    assert.deepEqual(
      listed
        .replace(/\(.*?\)/g, "")
        .match(/[a-z]+/g)
        ?.toSorted(),
      services.toSorted(),
    );
    const named = /Services \(([^)]*)\)/.exec(file("README.md").text)?.[1] ?? "";
    assert.deepEqual(named.match(/[a-z]+/g)?.toSorted(), services.toSorted());
  });
});

/** What the founding documents disagree on, or ask for and is no more: the page that decides it says so. */
const conflicts: readonly (readonly [what: string, inItsContext: RegExp])[] = [
  ["the edge", /Kong/],
  ["messaging", /RabbitMQ only/],
  ["stores", /MongoDB/],
  ["delayed messages", /delayed-message/],
  ["the mail catcher", /MailHog/],
  ["the cut of services", /sign-in inside users/],
  ["when a paid order completes", /when it is fulfilled/],
  ["locks and idempotency", /SETNX/],
  ["when stock is deducted", /deduct/],
  ["where events are kept", /Event sourcing/],
];

describe("decisions", () => {
  const names = globSync("[0-9]*.md", { cwd: join(root, "docs/decisions") }).toSorted();

  it("DOC-05: are numbered without gaps, listed, and each has its context, choice and cost", () => {
    const index = file("docs/decisions/README.md").text;
    for (const [at, name] of names.entries()) {
      const { text } = file(`docs/decisions/${name}`);
      assert.equal(name.slice(0, 5), `${String(at + 1).padStart(4, "0")}-`);
      const title = /^# (\d+\. .+)\n/.exec(text)?.[1];
      assert.ok(title?.startsWith(`${at + 1}. `), name);
      assert.ok(index.includes(`- [${title}](${name})`), `${name} is not in the list`);
      assert.deepEqual(
        Array.from(text.matchAll(/^\*\*(\w+)\.\*\* \S/gm), ([, part]) => part),
        ["Context", "Choice", "Cost"],
        name,
      );
    }
  });

  it("DOC-05: there is one for each conflict of the founding documents that has been met", () => {
    const contexts = names.map((name) => /^\*\*Context\.\*\*([^]*?)^\*\*/m.exec(file(`docs/decisions/${name}`).text)?.[1] ?? "");
    for (const [what, met] of conflicts)
      assert.ok(
        contexts.some((context) => met.test(context)),
        what,
      );
  });
});
