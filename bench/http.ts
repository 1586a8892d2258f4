import { Client } from "undici";

export interface Answer {
  readonly status: number;
  readonly location: string;
  /** The header `Preference-Applied`; empty without it. */
  readonly applied: string;
  readonly text: string;
}

/** One connection to one server, kept; requests one after the other, as a browser's. Redirects are not followed. */
export class Connection {
  readonly #client: Client;
  readonly #headers: Readonly<Record<string, string>>;

  /** `headers` go with every request. */
  constructor(origin: string, headers: Readonly<Record<string, string>> = {}) {
    this.#headers = headers;
    this.#client = new Client(origin, { pipelining: 1, keepAliveTimeout: 60_000 });
  }

  async request(
    method: "GET" | "POST",
    path: string,
    options: {
      readonly token?: string;
      readonly key?: string;
      readonly prefer?: string;
      readonly json?: unknown;
      readonly form?: string;
    } = {},
  ): Promise<Answer> {
    const { token, key, prefer, json, form } = options;
    const headers: Record<string, string> = { ...this.#headers };
    if (token !== undefined) headers["authorization"] = `Bearer ${token}`;
    if (key !== undefined) headers["idempotency-key"] = key;
    if (prefer !== undefined) headers["prefer"] = prefer;
    if (json !== undefined) headers["content-type"] = "application/json";
    if (form !== undefined) headers["content-type"] = "application/x-www-form-urlencoded";
    const body = json === undefined ? (form ?? null) : JSON.stringify(json);
    const answer = await this.#client.request({ method, path, headers, body });
    const headerOf = (name: string): string => {
      const value = answer.headers[name];
      return typeof value === "string" ? value : "";
    };
    return {
      status: answer.statusCode,
      location: headerOf("location"),
      applied: headerOf("preference-applied"),
      text: await answer.body.text(),
    };
  }

  /** Opens a stream and gives it up after its first bytes. */
  async open(path: string, token: string): Promise<{ readonly status: number }> {
    const headers = { ...this.#headers, authorization: `Bearer ${token}` };
    const answer = await this.#client.request({ method: "GET", path, headers, reset: true });
    for await (const _ of answer.body) break;
    return { status: answer.statusCode };
  }

  close(): Promise<void> {
    return this.#client.close();
  }
}
