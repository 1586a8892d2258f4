import { readFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import PostalMime, { type Address, type Email } from "postal-mime";
import { html } from "../html/html.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { MailStore } from "./mail-store.ts";

const listMax = 1_000;
const waitMsMax = 25_000;

const ownPages = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; frame-src 'self'";
const strict = `${ownPages}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;
/** A mail's HTML is not trusted: no script, no forms, nothing loaded; only its links open, in a tab of their own. */
const mailSandbox = "sandbox allow-popups allow-popups-to-escape-sandbox";
const mailPolicy = `${mailSandbox}; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'`;

const files = new Map(
  [
    ["/", "index.html", "text/html; charset=utf-8"],
    ["/mailbox.css", "mailbox.css", "text/css; charset=utf-8"],
    ["/mailbox.js", "mailbox.js", "text/javascript; charset=utf-8"],
  ].map(([path = "", file = "", type = ""]) => [path, { type, body: readFileSync(new URL(`./page/${file}`, import.meta.url)) }]),
);

interface Reply {
  readonly status?: number;
  readonly type?: string;
  readonly policy?: string;
  /** Whether the connection is closed after it. */
  readonly close?: boolean;
  readonly body: string | Buffer;
}

export interface MailboxPages {
  readonly handle: (request: IncomingMessage, response: ServerResponse) => void;
  /** Ends requests that wait for mails. */
  readonly stop: () => void;
}

/**
 * The mailbox's HTTP side: the page, and under `/api/v1/messages` the list (`limit`, `to`, `query`, `before`, `after`, `total`; with `waitMs` the response
 * waits until there is a mail), one mail parsed, its `/html` and `/raw`, and DELETE for all. Serves only the `hosts`, so that no foreign
 * page can use it by a host name of its own that resolves to this address.
 */
export function createMailboxPages({
  store,
  hosts,
  log,
}: {
  readonly store: MailStore;
  /** Undefined: any. */
  readonly hosts: readonly string[] | undefined;
  readonly log: Logger;
}): MailboxPages {
  const stopped = new AbortController();

  async function replyTo(request: IncomingMessage, response: ServerResponse): Promise<Reply> {
    const host = /^(\[[^\]]*\]|[^:]*)/.exec(request.headers.host ?? "")?.[1]?.toLowerCase() ?? "";
    if (hosts !== undefined && !hosts.includes(host)) return problem(403, "this host name is not served");
    const url = new URL(request.url ?? "/", "http://mailbox");
    const method = request.method === "HEAD" ? "GET" : request.method;
    if (url.pathname === "/api/v1/messages") {
      if (method === "GET") return list(url.searchParams, response);
      if (method === "DELETE") return json({ deleted: await store.deleteAll() });
      return problem(405, "only GET and DELETE");
    }
    if (method !== "GET") return problem(405, "only GET");
    const file = files.get(url.pathname);
    if (file !== undefined) return file;
    // No stored text has a NUL, and PostgreSQL refuses to compare with one.
    if (decoded(url.pathname).includes("\u0000")) return problem(404, "not found");
    const [, id, form] = /^\/api\/v1\/messages\/([^/]+)(?:\/(html|raw))?$/.exec(url.pathname) ?? [];
    const raw = id === undefined ? undefined : await store.raw(decoded(id));
    if (raw === undefined) return problem(404, "not found");
    if (form === "raw") return { type: "text/plain; charset=utf-8", body: raw };
    const email = await PostalMime.parse(raw, { attachmentEncoding: "base64" });
    return form === "html" ? { type: "text/html; charset=utf-8", policy: mailPolicy, body: htmlPage(email) } : json(message(email, raw));
  }

  async function list(params: URLSearchParams, response: ServerResponse): Promise<Reply> {
    const limit = whole(params.get("limit"), 50);
    const [before, after, waitMs] = [whole(params.get("before")), whole(params.get("after")), whole(params.get("waitMs"), 0)];
    const wrong = { limit, before, after, waitMs };
    for (const [name, value] of Object.entries(wrong)) if (Number.isNaN(value)) return problem(400, `${name} must be a whole number`);
    const filter = { to: params.get("to")?.toLowerCase() || undefined, query: params.get("query") || undefined };
    for (const [name, value] of Object.entries(filter)) if (value?.includes("\u0000")) return problem(400, `${name} must not have a NUL`);
    const read = () => store.list({ ...filter, before, after, limit: Math.min(Math.max(limit ?? 0, 1), listMax) });
    const signal = waitMs === undefined || waitMs === 0 ? undefined : waiting(Math.min(waitMs, waitMsMax), response);
    let messages: Awaited<ReturnType<typeof read>> = [];
    for (;;) {
      // Subscribed before reading, so that a mail stored in between is not missed.
      const change = signal === undefined ? undefined : store.changed(signal);
      messages = await read();
      if (messages.length > 0 || signal === undefined || signal.aborted) break;
      await change;
    }
    return json({ messages, ...(params.get("total") === "true" && { total: await store.count(filter) }) });
  }

  function waiting(ms: number, response: ServerResponse): AbortSignal {
    const closed = new AbortController();
    response.once("close", () => closed.abort());
    return AbortSignal.any([AbortSignal.timeout(ms), stopped.signal, closed.signal]);
  }

  return {
    handle(request, response) {
      request.resume();
      replyTo(request, response)
        .catch((error: unknown) => {
          log.error({ error }, "a request to the mailbox failed");
          return problem(500, "see the log");
        })
        .then((reply) => send(request, response, { ...reply, close: stopped.signal.aborted }))
        .catch((error: unknown) => log.error({ error }, "a request to the mailbox failed"));
    },
    stop: () => stopped.abort(),
  };
}

function send(
  request: IncomingMessage,
  response: ServerResponse,
  { status = 200, type = "application/json", policy = strict, body, close }: Reply,
): void {
  if (response.destroyed) return;
  response.writeHead(status, {
    "content-type": type,
    "content-length": Buffer.byteLength(body),
    "content-security-policy": policy,
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
    ...(close === true && { connection: "close" }),
  });
  response.end(request.method === "HEAD" ? undefined : body);
}

function json(value: unknown): Reply {
  return { body: JSON.stringify(value) };
}

function problem(status: number, detail: string): Reply {
  return { status, type: "application/problem+json", body: JSON.stringify({ status, detail }) };
}

/** The number, the fallback when there is no text, NaN when it is none. */
function whole(text: string | null, fallback?: number): number | undefined {
  if (text === null || text === "") return fallback;
  return /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
}

function decoded(component: string): string {
  try {
    return decodeURIComponent(component).replace(/^<|>$/g, "");
  } catch (error) {
    if (error instanceof URIError) return "";
    throw error;
  }
}

function message(email: Email, raw: Buffer) {
  return {
    messageId: email.messageId,
    from: email.from === undefined ? undefined : addresses([email.from])[0],
    to: addresses(email.to ?? []),
    subject: email.subject ?? "",
    date: email.date,
    text: asWritten(email.text),
    html: asWritten(email.html),
    headers: email.headers.map(({ originalKey, value }) => ({ name: originalKey, value })),
    attachments: email.attachments.map(({ filename, mimeType }) => ({ filename, mimeType })),
    size: raw.length,
  };
}

/** With the line ends that it was written with, without those of transport and parser. */
function asWritten(text: string | undefined): string | undefined {
  return text?.replaceAll("\r\n", "\n").replace(/\n$/, "");
}

function addresses(list: readonly Address[]) {
  return list.flatMap((entry) => (entry.group === undefined ? [entry] : entry.group)).map(({ name, address }) => ({ name, address }));
}

/** With links that open a tab of their own, because the frame is a sandbox. */
function htmlPage({ html: original, text }: Email): string {
  const base = html`<base target="_blank">`;
  if (original === undefined) return html`<!doctype html>${base}<pre>${text ?? ""}</pre>`.html;
  const head = /<head[^>]*>/i;
  return head.test(original) ? original.replace(head, (tag) => tag + base.html) : `${base.html}${original}`;
}
