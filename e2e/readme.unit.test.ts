import assert from "node:assert/strict";
import { existsSync, globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { Allow } from "@kontor/contracts/gen/kontor/api/v1/options_pb.js";
import { contracts } from "@kontor/contracts/registry.ts";
import { readConfiguration } from "@kontor/kontor/configuration.ts";
import { run } from "@kontor/kontor/main.ts";
import { methodsOf } from "@kontor/platform/contract/contract.ts";
import { jsonCodec } from "@kontor/platform/contract/json.ts";
import { validatorOf } from "@kontor/platform/contract/validate.ts";
import { curlCall, readme, readmeOrder } from "./readme.ts";

const root = join(import.meta.dirname, "..");
const read = (path: string): string => readFileSync(join(root, path), "utf8");
// The requirements are a copy of a table that names commands of its own.
const pages = globSync(["README.md", "CONTRIBUTING.md", "docs/**/*.md"], { cwd: root, exclude: ["docs/requirements.md"] });
const { scripts } = JSON.parse(read("package.json")) as { readonly scripts: Readonly<Record<string, string>> };

/** The commands that pages tell readers to type, each once: in blocks and in between backticks. */
function commands(page: string): string[] {
  const text = page.replace(/^```sh\n[^]*?^```$/gm, (block) => block.replaceAll("\\\n", " "));
  return [...new Set(Array.from(text.matchAll(/(?<=^|`)((?:npm|npx|node) [^`\n]+?)(?=\s+#|`|$)/gm), (match) => match[1]!))];
}

async function help(command: string): Promise<{ readonly code: number; readonly text: string }> {
  let text = "";
  const output = { write: (part: string) => (text += part) };
  const code = await run([command, "--help"], { env: {}, stdin: process.stdin, stdout: output, stderr: output });
  return { code, text };
}

describe("the commands in the pages", () => {
  for (const page of pages)
    for (const command of commands(read(page)))
      it(`DOC-02: ${page.replaceAll("\\", "/")} is right about ${command.replace(/[A-Z]+-\d+/g, "…")}`, async () => {
        const [program, ...words] = command.split(/\s+/);
        assert.notEqual(program, "node", "the reader's own node may be too old: npx node");
        if (program === "npx" && words[0] === "node")
          return assert.ok(
            existsSync(
              join(
                root,
                words.slice(1).find((word) => !word.startsWith("-"))!,
              ),
            ),
            "there is such a file",
          );
        if (program === "npx") {
          assert.equal(words[0], "kontor");
          if (words[1]?.startsWith("<")) return;
          const { code, text } = await help(words[1]!);
          assert.equal(code, 0, text);
          const usage = text.split(/Usage: /)[1] ?? "";
          for (const word of words.slice(1).filter((each) => /^(--)?[a-z-]+$/.test(each)))
            if (word.startsWith("--") || word === words[1] || word === words[2]) assert.ok(usage.includes(word), `it knows ${word}`);
          return;
        }
        const script = words[0] === "run" ? words[1]! : words[0]!;
        assert.ok(["audit", "ci", "cit", "install", "ls"].includes(script) || script in scripts, "there is such a script");
      });

  it("DOC-02: every script of the package has its program", () => {
    for (const [name, text] of Object.entries(scripts)) {
      const [program, file] = text.split(" ").filter((word) => !/^--|^[A-Z_]+=/.test(word));
      assert.ok(existsSync(join(root, program === "node" ? file! : `node_modules/.bin/${program}`)), `${name}: ${text}`);
    }
  });

  it("DOC-02: the README is right about where everything is", () => {
    const { port, mailboxPort, settings } = readConfiguration({});
    const rows = Array.from(readme.matchAll(/^\| .* \| http:\/\/localhost:(\d+)\S* \|$/gm), ([, acknowledged]) => Number(acknowledged));
    assert.deepEqual(rows, [port, mailboxPort, settings.payments.providerPort]);
    assert.equal(readmeOrder().variables["api"], `http://localhost:${port}`);
  });
});

describe("the README's first order", () => {
  const bindings = [...contracts].flatMap((type) =>
    type.kind === "service" ? methodsOf(type).flatMap((contract) => contract.bindings.map((binding) => ({ contract, binding }))) : [],
  );
  const { variables, steps } = readmeOrder();
  const filled = { ...variables, token: "a.b.c", cart: `crt_${"0".repeat(26)}`, order: "{order}" };

  for (const step of steps)
    if ("curl" in step)
      it(`DOC-02: the contracts know ${step.curl.replace(/\s+/g, " ").slice(0, 60)}`, () => {
        const { verb, url, headers, body } = curlCall(step.curl, filled);
        const { searchParams, pathname: encoded } = new URL(url);
        const pathname = decodeURIComponent(encoded);
        const found = bindings.find(({ binding }) => binding.verb === verb && binding.path === pathname);
        assert.ok(found !== undefined, `no contract has ${verb} ${pathname}`);
        const { method, allow, keyRequired } = found.contract;
        const codec = jsonCodec(method.input);
        validatorOf(method.input)(body === undefined ? codec.decodeQuery(searchParams) : codec.decode(JSON.parse(body)));
        if (body !== undefined) assert.equal(headers["content-type"], "application/json");
        assert.equal(headers["authorization"] === undefined, allow.includes(Allow.PUBLIC) && !/carts/.test(pathname));
        assert.equal(headers["idempotency-key"] !== undefined, keyRequired);
      });

  it("DOC-02: the demo catalogue has what the README orders and looks for", () => {
    const products = JSON.parse(read("apps/kontor/demo/products.json")) as {
      readonly title: string;
      readonly variants: readonly { readonly sku: string; readonly stock: number }[];
    }[];
    const ordered = Array.from(readme.matchAll(/"sku":"([^"]+)","quantity":(\d+)/g), ([, sku, quantity]) => ({
      sku,
      quantity: Number(quantity),
    }));
    assert.ok(ordered.length > 0);
    for (const { sku, quantity } of ordered)
      assert.ok(
        products.some(({ variants }) => variants.some((variant) => variant.sku === sku && variant.stock >= quantity)),
        sku,
      );
    const word = /products\?q=(\w+)/.exec(readme)?.[1] ?? "";
    assert.ok(products.some(({ title }) => title.toLowerCase().includes(word)));
  });
});
