import { moneyFrom, moneyTo } from "@kontor/contracts/money.ts";
import type { Money } from "@kontor/contracts/money.ts";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import { Webhook } from "standardwebhooks";
import { httpClient } from "./http-client.ts";
import type { Provider, ProviderEvent, Session, SessionStatus } from "./provider.ts";

/** How the built-in provider writes a session. */
export interface SessionJson {
  readonly key: string;
  readonly reference: string;
  readonly status: SessionStatus;
  readonly url: string;
  readonly amount: { readonly currency: string; readonly amount: string };
  readonly declineCode: string;
}

const timeoutMs = 10_000;

/** The built-in payment provider, reached over HTTP like any other. */
export function builtinProvider(options: {
  readonly providerUrl: string;
  readonly apiKey: string;
  readonly webhookSecret: string;
}): Provider {
  const webhook = new Webhook(options.webhookSecret);

  const client = httpClient({ url: options.providerUrl, authorization: `Bearer ${options.apiKey}`, silenceMsMax: timeoutMs });

  const request = async (method: "GET" | "POST", path: string, body: object | undefined, signal: AbortSignal): Promise<unknown> => {
    let status: number;
    let result: unknown;
    try {
      const response = await client(method, path, body, signal);
      status = response.status;
      if (status >= 200 && status < 300) result = JSON.parse(response.body);
    } catch (error) {
      throw isTimeout(signal.reason) ? tooLate(error) : unavailable(error);
    }
    if (result !== undefined) return result;
    if (status === 404) return undefined;
    if (status >= 500 || status === 429) throw unavailable(new Error(`the provider responded with ${status}`));
    throw new Error(`the provider responded with ${status} to ${method} ${path}`);
  };
  const post = async (path: string, body: object, signal: AbortSignal): Promise<unknown> => {
    const result = await request("POST", path, body, signal);
    if (result === undefined) throw new Error(`the provider does not know ${path}`);
    return result;
  };

  return {
    name: "builtin",
    open: async ({ key, amount, reference, returnUrl }, signal) =>
      sessionOf((await post("/v1/sessions", { key, amount: moneyTo(amount), reference, returnUrl }, signal)) as SessionJson),
    read: async (key, signal) => {
      const found = await request("GET", `/v1/sessions/${encodeURIComponent(key)}`, undefined, signal);
      return found === undefined ? undefined : sessionOf(found as SessionJson);
    },
    close: async (key, signal) => sessionOf((await post(`/v1/sessions/${encodeURIComponent(key)}/close`, {}, signal)) as SessionJson),
    refund: async ({ key, session, amount }, signal) => {
      const result = await post(`/v1/sessions/${encodeURIComponent(session)}/refunds`, { key, amount: moneyTo(amount) }, signal);
      return (result as { status: "succeeded" | "failed" }).status;
    },
    receive: (headers, body): ProviderEvent | undefined => {
      const event = verified(webhook, headers, body);
      if (!event.type.startsWith("session.")) return undefined;
      return { id: headers["webhook-id"]!, payment: event.data.reference, session: sessionOf(event.data) };
    },
  };
}

function verified(webhook: Webhook, headers: Readonly<Record<string, string>>, body: Uint8Array): { type: string; data: SessionJson } {
  try {
    return webhook.verify(Buffer.from(body), { ...headers }) as { type: string; data: SessionJson };
  } catch (error) {
    throw refuse({ reason: "WEBHOOK_SIGNATURE", code: "unauthenticated", message: "The signature does not fit", cause: error });
  }
}

function sessionOf({ key, status, url, amount, declineCode }: SessionJson): Session {
  const money: Money = moneyFrom(amount);
  return { key, status, url, amount: money, declineCode };
}

/** Whether the call's own deadline has cut it off, which says nothing about the provider. */
function isTimeout(reason: unknown): boolean {
  return reason instanceof DOMException && reason.name === "TimeoutError";
}

function tooLate(cause: unknown): Error {
  return refuse({ reason: "DEADLINE_EXCEEDED", code: "deadline_exceeded", cause });
}

function unavailable(cause: unknown): Error {
  return refuse({
    reason: "DEPENDENCY_UNAVAILABLE",
    code: "unavailable",
    message: "The payment provider does not respond",
    retryAfterMs: 2_000,
    cause,
  });
}
