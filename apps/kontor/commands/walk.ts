import { randomBytes, randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { readConfiguration } from "../configuration.ts";
import { CommandError, readArgs, UsageError } from "./command.ts";
import type { Command } from "./command.ts";
import { paint } from "./terminal/paint.ts";
import { chooseVariant } from "./walk/choose-variant.ts";
import type { Product, Variant } from "./walk/choose-variant.ts";
import { createCalls } from "./walk/http.ts";

const testCard = "4242424242424242";
const waitMsMax = 20_000;
const pollMs = 50;

export const walk: Command = {
  name: "walk",
  summary: "buy something in the running shop, from registration to a paid order",
  usage: `Usage: kontor walk [--url http://localhost:4000] [--mailbox http://localhost:4001]

Registers a new customer, verifies the address with the code from the mailbox, searches, orders, pays on the payment provider's page with a
test card and reads the confirmation mail. Over HTTP only, as any client would; prints each call.

  --url URL       where the shop is; by default as KONTOR_PORT says
  --mailbox URL   where its mailbox is`,
  async run(args, { env, stdout }) {
    const { values } = readArgs(args, { url: { type: "string" }, mailbox: { type: "string" } });
    const config = readConfiguration(env);
    const api = origin(values.url ?? `http://localhost:${config.port}`);
    const mailbox = origin(values.mailbox ?? `http://${new URL(api).hostname}:${config.mailboxPort}`);
    const startedMs = performance.now();
    const step = (title: string): void => void stdout.write(`${paint(stdout, "bold", title)}\n`);
    const email = `walker-${randomBytes(5).toString("hex")}@example.com`;
    const customer: Customer = { email, mailbox, call: createCalls(stdout, api) };
    step(`Register as ${email}`);
    const token = await register(customer);
    step("Browse and search");
    const variant = await browse(customer);
    step("Order");
    const order = await placeOrder(customer, token, variant);
    step("Pay");
    await pay(customer, token, order);
    step("Read the confirmation");
    await mailTo(customer, order.id);
    stdout.write(paint(stdout, "green", `\nAll of it took ${((performance.now() - startedMs) / 1_000).toFixed(1)} s.\n`));
    return 0;
  },
};

interface Customer {
  readonly email: string;
  /** The URL of the mailbox. */
  readonly mailbox: string;
  readonly call: ReturnType<typeof createCalls>;
}

/** Registers, verifies the address and signs in; returns the access token. */
async function register(customer: Customer): Promise<string> {
  const { call, email } = customer;
  const password = randomBytes(12).toString("base64url");
  await call("/v1/register", {
    method: "POST",
    json: { email, password, name: "Wanda Walker" },
    expect: 201,
    show: ({ json }) => `${json.id} is ${json.status}`,
  });
  const code = /[0-9A-Z]{5}-[0-9A-Z]{5}/.exec((await mailTo(customer, "code")).text)?.[0];
  if (code === undefined) throw new CommandError("the verification mail has no code in it");
  await call("/v1/register/verify", {
    method: "POST",
    json: { email, code },
    expect: 200,
    show: ({ json }) => `${json.id} is ${json.status}`,
  });
  const login = await call("/v1/login", {
    method: "POST",
    json: { email, password },
    expect: 200,
    show: ({ json }) => `a token for ${json.expiresIn} seconds`,
  });
  return String(login.json.accessToken);
}

/** Lists and searches products; returns a variant that can be ordered. */
async function browse({ call }: Customer): Promise<Variant> {
  const list = await call("/v1/products?limit=50", { expect: 200, show: ({ json }) => `${json.items.length} products` });
  const chosen = chooseVariant(list.json.items);
  if (chosen === undefined) throw new CommandError("there is nothing to buy: import a catalogue or run kontor seed");
  const word = chosen.title.split(/\s+/).toSorted((a, b) => b.length - a.length)[0]!;
  await call(`/v1/products?q=${encodeURIComponent(word)}&limit=5`, {
    expect: 200,
    show: ({ json }) => json.items.map(({ title }: Product) => title).join(", "),
  });
  return chosen.variant;
}

interface Order {
  readonly id: string;
  readonly paymentUrl: string;
}

async function placeOrder({ call }: Customer, token: string, { sku, price }: Variant): Promise<Order> {
  const cart = await call("/v1/carts", {
    method: "POST",
    token,
    json: { currency: price.currency, lines: [{ sku, quantity: 1 }] },
    expect: 201,
    show: ({ json }) => `1 × ${json.lines[0].title}, ${json.total.amount} ${json.total.currency}`,
  });
  const { json } = await call("/v1/orders", {
    method: "POST",
    token,
    key: randomUUID(),
    json: { cart: cart.json.id },
    expect: 201,
    show: ({ json: order }) => `${order.id} is ${order.status}, ${order.total.amount} ${order.total.currency} to pay`,
  });
  return { id: String(json.id), paymentUrl: String(json.payment.url) };
}

/** Pays on the provider's page, and waits until the order is paid. */
async function pay({ call }: Customer, token: string, { id, paymentUrl }: Order): Promise<void> {
  const opened = await call(paymentUrl, { expect: 303, show: () => "to the payment provider's page" });
  const page = String(opened.location);
  await call(page, { expect: 200, show: ({ text }) => /<title>([^<]*)/.exec(text)?.[1] ?? "" });
  const paid = await call(page, {
    method: "POST",
    form: { number: testCard, expiry: "12/49", cvc: "123" },
    expect: 303,
    show: () => `paid with ${testCard}, back to the shop`,
  });
  await call(String(paid.location), { expect: 200, show: ({ text }) => /<h1>([^<]*)/.exec(text)?.[1] ?? "" });
  await until(
    "the order to be paid",
    async () => (await call(`/v1/orders/${id}`, { token, waits: true, expect: 200, quiet: true })).json.status === "PAID" || undefined,
  );
  await call(`/v1/orders/${id}`, {
    token,
    expect: 200,
    show: ({ json }) => json.history.map(({ status, at }: { status: string; at: string }) => `${status} ${at}`).join(", "),
  });
}

/** The newest mail to the customer whose subject contains the text, as soon as it has arrived. */
async function mailTo({ call, email, mailbox }: Customer, subject: string): Promise<{ readonly text: string }> {
  const address = `${mailbox}/api/v1/messages?to=${encodeURIComponent(email)}&query=${encodeURIComponent(subject)}`;
  const id = await until(`a mail about "${subject}"`, async () => {
    const { json } = await call(address, { expect: 200, quiet: true });
    return json.messages[0]?.id as string | undefined;
  });
  const { json } = await call(`${mailbox}/api/v1/messages/${encodeURIComponent(id)}`, {
    expect: 200,
    show: ({ json: mail }) => `"${mail.subject}"`,
  });
  return { text: String(json.text) };
}

/** Polls until there is a result. Throws `CommandError` when there is none in time. */
async function until<T>(what: string, poll: () => Promise<T | undefined>): Promise<T> {
  const deadlineMs = performance.now() + waitMsMax;
  for (;;) {
    const result = await poll();
    if (result !== undefined) return result;
    if (performance.now() > deadlineMs) throw new CommandError(`waited ${waitMsMax / 1_000} s for ${what}, which did not come`);
    await sleep(pollMs);
  }
}

function origin(text: string): string {
  if (!URL.canParse(text) || !/^https?:$/.test(new URL(text).protocol)) throw new UsageError(`"${text}" is not an http or https address`);
  return new URL(text).href.replace(/\/$/, "");
}
