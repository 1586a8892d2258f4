import assert from "node:assert/strict";
import { randomBytes, randomUUID } from "node:crypto";

/** An answer of the api. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  /** The body as it came. */
  readonly text: string;
  readonly body: any; // oxlint-disable-line typescript/no-explicit-any -- JSON as it came: what is in it is what a test asserts
}

/** A mail as the mailbox shows it. */
export interface Mail {
  readonly id: string;
  readonly subject: string;
  readonly text: string;
}

export interface Places {
  readonly api: string;
  readonly mailbox: string;
}

/** Somebody who uses the shop over HTTP, as any client would. */
export class Shopper {
  readonly places: Places;
  readonly email = `shopper-${randomBytes(6).toString("hex")}@example.com`;
  password = "correct horse battery";
  token: string | undefined;
  /** From the verification mail. */
  code: string | undefined;

  constructor(places: Places) {
    this.places = places;
  }

  async call(
    method: string,
    path: string,
    options: { readonly json?: unknown; readonly key?: string; readonly headers?: Readonly<Record<string, string>> } = {},
  ): Promise<Answer> {
    const { json, key, headers = {} } = options;
    const response = await fetch(path.startsWith("http") ? path : this.places.api + path, {
      method,
      redirect: "manual",
      headers: {
        ...(this.token !== undefined && { authorization: `Bearer ${this.token}` }),
        ...(json !== undefined && { "content-type": "application/json" }),
        ...(key !== undefined && { "idempotency-key": key }),
        ...headers,
      },
      ...(json !== undefined && { body: JSON.stringify(json) }),
    });
    const text = await response.text();
    const isJson = /json/.test(response.headers.get("content-type") ?? "");
    return { status: response.status, headers: response.headers, text, body: isJson ? JSON.parse(text) : text };
  }

  /** The same, and the answer must have the status. */
  async expect(status: number, method: string, path: string, options: Parameters<Shopper["call"]>[2] = {}): Promise<Answer> {
    const answer = await this.call(method, path, options);
    assert.equal(answer.status, status, `${method} ${path}: ${JSON.stringify(answer.body)}`);
    return answer;
  }

  /** Registers, verifies with the code from the mailbox, and signs in. */
  async join(): Promise<this> {
    const { email, password } = this;
    const registered = await this.expect(201, "POST", "/v1/register", { json: { email, password, name: "Ada Shopper" } });
    const [mail] = await this.mails(1);
    this.code = /[0-9A-Z]{5}-[0-9A-Z]{5}/.exec(mail!.text)?.[0];
    await this.expect(200, "POST", "/v1/register/verify", { json: { email, code: this.code, account: registered.body.id } });
    return this.login();
  }

  async login(): Promise<this> {
    const { body } = await this.expect(200, "POST", "/v1/login", { json: { email: this.email, password: this.password } });
    this.token = body.accessToken;
    return this;
  }

  /** Waits until so many mails have come to this shopper; newest first. */
  async mails(count: number): Promise<readonly Mail[]> {
    const deadline = Date.now() + 20_000;
    for (;;) {
      const mails = await this.inbox();
      if (mails.length >= count) return mails;
      if (Date.now() > deadline) throw new Error(`${mails.length} of ${count} mails came to ${this.email}`);
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
  }

  /** The mails that have come to this shopper so far; newest first. */
  async inbox(): Promise<readonly Mail[]> {
    const { mailbox } = this.places;
    const { body } = await this.expect(200, "GET", `${mailbox}/api/v1/messages?to=${encodeURIComponent(this.email)}&limit=50`);
    const listed = body.messages as readonly { readonly id: string }[];
    return Promise.all(
      listed.map(async ({ id }) => (await this.expect(200, "GET", `${mailbox}/api/v1/messages/${encodeURIComponent(id)}`)).body as Mail),
    );
  }

  /** Places an order for these lines through a cart. */
  async order(lines: readonly { readonly sku: string; readonly quantity: number }[], key: string = randomUUID()): Promise<Answer> {
    const cart = await this.expect(201, "POST", "/v1/carts", { json: { currency: "EUR", lines } });
    return this.call("POST", "/v1/orders", { json: { cart: cart.body.id }, key });
  }

  /** Opens payment.url and pays with a card; gives the answer of the provider's page. */
  async pay(paymentUrl: string, card = "4242424242424242"): Promise<Response> {
    const opened = await fetch(paymentUrl, { redirect: "manual" });
    await opened.arrayBuffer();
    assert.equal(opened.status, 303);
    return fetch(opened.headers.get("location")!, { method: "POST", redirect: "manual", body: new URLSearchParams({ number: card }) });
  }

  /** Reads the order until it has one of these statuses. */
  async until(order: string, ...statuses: readonly string[]): Promise<Answer> {
    const deadline = Date.now() + 30_000;
    for (;;) {
      const answer = await this.call("GET", `/v1/orders/${order}`);
      if (answer.status === 200 && statuses.includes(answer.body.status)) return answer;
      if (Date.now() > deadline) throw new Error(`order ${order} did not become ${statuses.join(" or ")}: ${JSON.stringify(answer.body)}`);
      await new Promise((resolve) => setTimeout(resolve, 25));
    }
  }
}
