import { execFile, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { promisify } from "node:util";
import { eraseEmbeddedPostgres } from "@kontor/platform/database/embedded.ts";
import type { Account } from "./compose-shop.ts";
import { endProcess } from "./end-process.ts";
import { environment, inherited, newFolder, postmasterOf } from "./environment.ts";
import { Connection } from "./http.ts";
import { makeProducts } from "./products.ts";

const waitMsMax = 60_000;
const registrationsAtOnce = 8;

/** A checkout's shop, running and filled. It is used as any client does it: by commands, over HTTP and with its mailbox. */
export interface CheckoutShop {
  readonly api: string;
  readonly accounts: readonly Account[];
  /** The shop and its PostgreSQL. */
  readonly pids: readonly number[];
  /** How many mails there are in its mailbox. */
  mails(): Promise<number>;
  /** Ends its processes and deletes its data. Safe to repeat. */
  stop(): Promise<void>;
}

export interface CheckoutOptions {
  /** The checkout's folder, with its own node_modules: of this version or of an older one. */
  readonly root: string;
  readonly products: number;
  readonly shoppers: number;
  readonly signal?: AbortSignal;
}

/** The command of a checkout. Throws when the folder is none. */
export function mainOf(root: string): string {
  const main = join(root, "apps/kontor/main.ts");
  if (!existsSync(main)) throw new Error(`${root} is not a checkout of Kontor: ${main} is missing`);
  return main;
}

/** Starts a checkout's shop on fresh data and ports of its own, with products, stock and accounts. Throws when it does not get ready in a minute. */
export async function startCheckout({ root, products, shoppers, signal }: CheckoutOptions): Promise<CheckoutShop> {
  const main = mainOf(root);
  const ownNode = join(root, "node_modules/.bin/node");
  const node = existsSync(ownNode) ? ownNode : process.execPath;
  const folder = newFolder();
  const { rpcPort: _, opsPort: __, ...variables } = await environment(folder);
  const env = { ...inherited(), ...variables };
  const shop = spawn(node, ["--max-semi-space-size=8", "--heap-growing-percent=100", main, "start"], {
    cwd: root,
    env,
    stdio: ["ignore", "ignore", "inherit"],
  });
  let stopped: Promise<void> | undefined;
  const end = async (): Promise<void> => {
    await endProcess(shop);
    await eraseEmbeddedPostgres(folder);
    rmSync(folder, { recursive: true, force: true });
  };
  const stop = () => (stopped ??= end());
  const abort = (): void => void shop.kill("SIGTERM");
  signal?.addEventListener("abort", abort, { once: true });
  shop.once("exit", () => signal?.removeEventListener("abort", abort));
  const [api, mailbox] = [variables.KONTOR_PORT, variables.KONTOR_MAILBOX_PORT].map((port) => `http://127.0.0.1:${port}`) as [
    string,
    string,
  ];
  try {
    const responds = (path: string) => async () => {
      signal?.throwIfAborted();
      if (shop.exitCode !== null || shop.signalCode !== null) throw new Error(`the shop of ${root} ended before it was ready`);
      // Nobody listens yet, or the product is not there yet.
      const response = await fetch(api + path).catch(() => undefined);
      return response?.ok === true ? true : undefined;
    };
    await until(`the shop of ${root}`, responds("/v1/products?limit=1"));
    const file = join(folder, "products.csv");
    writeFileSync(file, csvOf(products));
    await promisify(execFile)(node, [main, "import", "shopify", file, "--currency", "EUR"], { cwd: root, env, timeout: waitMsMax });
    await until("the imported products", responds(`/v1/products/bench-${products - 1}`));
    const accounts = await register(api, mailbox, shoppers);
    const mails = async () => ((await json(mailbox, "/api/v1/messages?limit=1&total=true")) as { total: number }).total;
    return { api, accounts, pids: [shop.pid!, postmasterOf(folder)], mails, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** The products of the benchmark as a file that `kontor import shopify` reads. */
export function csvOf(count: number): string {
  const cell = (text: string): string => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const head = [
    "Handle",
    "Title",
    "Body (HTML)",
    "Vendor",
    "Tags",
    "Published",
    "Status",
    "Variant SKU",
    "Variant Price",
    "Variant Inventory Qty",
  ];
  const rows = makeProducts(count).map(({ product: { handle, title, descriptionHtml, vendor, tags, variants } }) => {
    const { sku, price } = variants[0]!;
    return [handle, title, descriptionHtml, vendor, tags.join(", "), "true", "active", sku, price.amount, "1000000"];
  });
  return [head, ...rows].map((row) => row.map(cell).join(",")).join("\n");
}

/** Registers accounts and verifies each with the code that its mail has. */
async function register(api: string, mailbox: string, count: number): Promise<Account[]> {
  const accounts = Array.from({ length: count }, (_, at) => ({
    email: `shopper${at}-${randomBytes(4).toString("hex")}@bench.example`,
    password: randomBytes(12).toString("hex"),
  }));
  const waiting = [...accounts];
  const worker = async (): Promise<void> => {
    const shop = new Connection(api);
    try {
      for (let account = waiting.pop(); account !== undefined; account = waiting.pop()) {
        const { email } = account;
        const registered = await shop.request("POST", "/v1/register", { json: { ...account, name: "Bench Shopper" } });
        if (registered.status !== 201) throw new Error(`registering responded with ${registered.status}: ${registered.text.slice(0, 300)}`);
        const code = await until(`the code for ${email}`, () => codeFor(mailbox, email));
        const verified = await shop.request("POST", "/v1/register/verify", { json: { email, code } });
        if (verified.status !== 200) throw new Error(`verifying responded with ${verified.status}: ${verified.text.slice(0, 300)}`);
      }
    } finally {
      await shop.close();
    }
  };
  await Promise.all(Array.from({ length: Math.min(count, registrationsAtOnce) }, worker));
  return accounts;
}

async function codeFor(mailbox: string, email: string): Promise<string | undefined> {
  const list = (await json(mailbox, `/api/v1/messages?to=${encodeURIComponent(email)}`)) as { messages: { id: string }[] };
  const id = list.messages[0]?.id;
  if (id === undefined) return undefined;
  const { text } = (await json(mailbox, `/api/v1/messages/${encodeURIComponent(id)}`)) as { text: string };
  return /[0-9A-Z]{5}-[0-9A-Z]{5}/.exec(text)?.[0];
}

async function json(origin: string, path: string): Promise<unknown> {
  const response = await fetch(origin + path);
  if (!response.ok) throw new Error(`GET ${path} responded with ${response.status}`);
  return response.json();
}

/** Polls until there is a result. Throws when there is none in a minute. */
export async function until<T>(what: string, poll: () => Promise<T | undefined>): Promise<T> {
  const deadlineMs = performance.now() + waitMsMax;
  for (;;) {
    const result = await poll();
    if (result !== undefined) return result;
    if (performance.now() > deadlineMs) throw new Error(`waited ${waitMsMax / 1_000} s for ${what}, which did not come`);
    await pause(50);
  }
}
