import { CommandError } from "../command.ts";
import type { Output } from "../command.ts";
import { paint, plain } from "../terminal/paint.ts";

export interface HttpResponse {
  readonly status: number;
  readonly location: string | undefined;
  /** JSON as it came. */
  // oxlint-disable-next-line typescript/no-explicit-any -- JSON of an api that is looked at from outside: a field that is missing shows as such
  readonly json: any;
  readonly text: string;
}

export interface CallOptions {
  readonly method?: "GET" | "POST";
  readonly json?: object;
  readonly form?: Readonly<Record<string, string>>;
  readonly token?: string;
  readonly key?: string;
  /** Whether the response may wait for a change, for 10 s. */
  readonly waits?: boolean;
  /** The status that it must have. */
  readonly expect: number;
  /** What is printed under the call: the interesting part of the response. */
  readonly show?: (response: HttpResponse) => string;
  /** Not printed, because it is repeated. */
  readonly quiet?: boolean;
}

const timeoutMs = 15_000;

/** Makes HTTP calls like any client and prints each: method, address, status, milliseconds, and the interesting part of the response. */
export function createCalls(output: Output, api: string) {
  const print = (method: string, url: string, { status, ms }: { status: number; ms: number }, shown: string): void => {
    const address = url.startsWith(api) ? url.slice(api.length) : url;
    const facts = `${method.padEnd(4)} ${address.length > 64 ? `${address.slice(0, 63)}…` : address.padEnd(64)} `;
    output.write(
      `  ${plain(facts)}${paint(output, status < 400 ? "green" : "red", String(status))} ${paint(output, "gray", `${Math.round(ms)} ms`.padStart(7))}\n`,
    );
    if (shown !== "") output.write(`       ${paint(output, "gray", plain(shown))}\n`);
  };

  /** Throws `CommandError` when there is no response, or one with another status than expected. */
  return async (url: string, options: CallOptions): Promise<HttpResponse> => {
    const { method = "GET", json, form, token, key, waits = false, expect, show, quiet = false } = options;
    const address = url.startsWith("http") ? url : api + url;
    const startedMs = performance.now();
    let response: Response;
    let text: string;
    try {
      response = await fetch(address, {
        method,
        redirect: "manual",
        signal: AbortSignal.timeout(timeoutMs),
        headers: {
          ...(json !== undefined && { "content-type": "application/json" }),
          ...(token !== undefined && { authorization: `Bearer ${token}` }),
          ...(key !== undefined && { "idempotency-key": key }),
          ...(waits && { prefer: "wait=10" }),
        },
        ...(json !== undefined && { body: JSON.stringify(json) }),
        ...(form !== undefined && { body: new URLSearchParams(form) }),
      });
      text = await response.text();
    } catch (error) {
      throw new CommandError(`${new URL(address).origin} does not respond: is the shop running? (kontor start; --url names another one)`, {
        cause: error,
      });
    }
    const { status } = response;
    const isJson = (response.headers.get("content-type") ?? "").includes("json");
    const read: HttpResponse = {
      status,
      location: response.headers.get("location") ?? undefined,
      json: isJson ? JSON.parse(text) : undefined,
      text,
    };
    const good = status === expect;
    if (!quiet || !good)
      print(
        method,
        address,
        { status, ms: performance.now() - startedMs },
        good ? (show?.(read) ?? "") : (read.json?.detail ?? text.slice(0, 200)),
      );
    if (!good) throw new CommandError(`${method} ${new URL(address).pathname} responded with ${status} where ${expect} was expected`);
    return read;
  };
}
