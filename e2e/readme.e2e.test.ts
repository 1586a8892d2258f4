import assert from "node:assert/strict";
import { execFile, spawnSync } from "node:child_process";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { before, describe, it } from "node:test";
import { promisify } from "node:util";
import { curlCall, readme, readmeOrder } from "./readme.ts";
import { startShop } from "./shop-process.ts";
import type { ShopProcess } from "./shop-process.ts";
import { Shopper } from "./shopper.ts";

const bash = promisify(execFile);
const hasCurl = spawnSync("curl", ["--version"]).status === 0;

interface Answer {
  readonly status: number;
  readonly text: string;
  readonly body: Record<string, any>; // oxlint-disable-line typescript/no-explicit-any -- JSON as it came
}

describe("the README's first order, typed in", () => {
  let shop: ShopProcess;

  before(async () => {
    shop = await startShop({ KONTOR_SEED: "demo" });
  });

  it("DOC-02 TST-06: each call responds as the README says, and the order is paid", async () => {
    const { variables, steps } = readmeOrder();
    const shell = new Map(Object.entries({ ...variables, api: shop.api }));
    const answers: Answer[] = [];
    let order: Answer | undefined;
    for (const step of steps) {
      if ("take" in step) {
        shell.set(step.take, String(answers.at(-1)!.body[step.field]));
        continue;
      }
      let command = step.curl;
      const sample = /"code":"([A-Z-]+)"/.exec(command)?.[1];
      if (sample !== undefined) {
        const code = await codeFrom(shop, /"email":"([^"]+)"/.exec(command)![1]!);
        assert.match(code, new RegExp(`^${sample.replaceAll(/[A-Z]/g, "[0-9A-Z]")}$`), "the README's sample looks as codes do");
        command = command.replace(sample, code);
      }
      answers.push(await typed(command, shell));
      const { status, body } = answers.at(-1)!;
      if (command.includes("idempotency-key")) {
        order = answers.at(-1)!;
        assert.deepEqual([status, body["status"]], [201, "PENDING"]);
        assert.equal((await typed(command, shell)).text, order.text, "the same key gives the same answer");
        const page = await (await fetch(body["payment"].url)).text();
        assert.match(page, />Kontor</, "the payment page names the shop");
        assert.equal((await new Shopper(shop).pay(body["payment"].url, cardOf(readme))).status, 303);
      }
    }
    assert.deepEqual(
      answers.map(({ status }) => status),
      [201, 200, 200, 200, 201, 201, 200],
    );
    const last = steps.flatMap((step) => ("curl" in step ? [step.curl] : [])).at(-1)!;
    assert.equal(new URL(curlCall(last, Object.fromEntries(shell)).url).pathname, `/v1/orders/${order!.body["id"]}`);
    const found = answers.at(-1)!.body as { readonly status: string; readonly history: readonly { readonly status: string }[] };
    assert.equal(found.status, "PAID", "the response has waited for that");
    assert.deepEqual(
      found.history.map(({ status }) => status),
      ["PENDING", "PAID"],
    );
  });

  it("DOC-02: the commands that it names do what it says", async () => {
    const products = join(shop.folder, "products.csv");
    await writeFile(products, "Handle,Title,Variant SKU,Variant Price,Variant Inventory Qty,Status\nflag,Flag,FLAG-1,12.00,5,active\n");
    try {
      const commands = [...new Set(Array.from(readme.matchAll(/npx kontor ([^`\n]+)/g), (match) => match[1]!.trim()))].filter(
        // These start shops of their own, which other tests do.
        (command) => !/^(cluster|move)\b/.test(command),
      );
      for (const command of ["walk", "verify"]) assert.ok(commands.includes(command), command);
      for (const command of commands) {
        const args = command.split(" ").map((word) => (word === "products.csv" ? products : word));
        const { code, output } = await shop.run(args);
        assert.equal(code, 0, `kontor ${command}: ${output}`);
      }
      const { body } = await new Shopper(shop).expect(200, "GET", "/v1/products/flag");
      assert.equal(body.variants[0].sku, "FLAG-1");
    } finally {
      await rm(products);
    }
  });
});

/** The answer to a curl command, run by a shell that has these variables; asked as curl would where there is none. */
async function typed(command: string, variables: ReadonlyMap<string, string>): Promise<Answer> {
  if (!hasCurl) {
    const { verb, url, headers, body } = curlCall(command, Object.fromEntries(variables));
    const response = await fetch(url, { method: verb, headers, ...(body !== undefined && { body }) });
    const text = await response.text();
    return { status: response.status, text, body: JSON.parse(text) };
  }
  const set = Array.from(variables, ([name, value]) => `${name}='${value}'`).join("\n");
  const asked = command.replace(/^curl /, "curl -sS -w '\\n%{http_code}' ");
  const { stdout } = await bash("bash", ["-euc", `${set}\n${asked}`]);
  const [, text = "", status] = /^([^]*)\n(\d+)$/.exec(stdout) ?? [];
  return { status: Number(status), text, body: text === "" ? {} : JSON.parse(text) };
}

async function codeFrom(shop: ShopProcess, email: string): Promise<string> {
  const shopper = Object.assign(new Shopper(shop), { email });
  const [mail] = await shopper.mails(1);
  return /\b[0-9A-Z]{5}-[0-9A-Z]{5}\b/.exec(mail!.text)?.[0] ?? assert.fail(mail!.text);
}

function cardOf(text: string): string {
  return /\b(?:\d{4} ){3}\d{4}\b/.exec(text)?.[0].replaceAll(" ", "") ?? assert.fail("the README names no card");
}
