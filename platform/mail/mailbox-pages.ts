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
/** A mail's HTML is a stranger's: no script, no forms, nothing loaded; only its links open, in a tab of their own. */
const mailSandbox = "sandbox allow-popups allow-popups-to-escape-sandbox";
const mailPolicy = `${mailSandbox}; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'`;

const files = new Map(
  [
    ["/", "index.html", "text/html; charset=utf-8"],
    ["/mailbox.css", "mailbox.css", "text/css; charset=utf-8"],
    ["/mailbox.js", "mailbox.js", "text/javascript; charset=utf-8"],
  ].map(([path = "", file = "", type = ""]) => [path, { type, body: readFileSync(new URL(`./page/${file}`, import.meta.url)) }]),
);

interface Answer {
  readonly status?: number;
  readonly type?: string;
  readonly policy?: string;
  /** Whether the connection ends with it. */
  readonly close?: boolean;
  readonly body: string | Buffer;
}

export interface MailboxPages {
  readonly handle: (request: IncomingMessage, response: ServerResponse) => void;
  /** Ends requests that wait for mails. */
  readonly stop: () => void;
}

/**
 * The mailbox's HTTP side: the page, and under `/api/v1/messages` the list (`limit`, `to`, `query`, `before`, `after`, `total`; with `waitMs` the answer
 * waits until there is a mail), one mail parsed, its `/html` and `/raw`, and DELETE for all. Answers only to the given host names, so that no foreign
 * page can reach it through a name of its own that leads here.
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

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<Answer> {
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
    const [, id, form] = /^\/api\/v1\/messages\/([^/]+)(?:\/(html|raw))?$/.exec(url.pathname) ?? [];
    const raw = id === undefined ? undefined : await store.raw(decoded(id));
    if (raw === undefined) return problem(404, "not found");
    if (form === "raw") return { type: "text/plain; charset=utf-8", body: raw };
    const email = await PostalMime.parse(raw, { attachmentEncoding: "base64" });
    return form === "html" ? { type: "text/html; charset=utf-8", policy: mailPolicy, body: htmlPage(email) } : json(message(email, raw));
  }

  async function list(params: URLSearchParams, response: ServerResponse): Promise<Answer> {
    const limit = whole(params.get("limit"), 50);
    const [before, after, waitMs] = [whole(params.get("before")), whole(params.get("after")), whole(params.get("waitMs"), 0)];
    const wrong = { limit, before, after, waitMs };
    for (const [name, value] of Object.entries(wrong)) if (Number.isNaN(value)) return problem(400, `${name} must be a whole number`);
    const filter = { to: params.get("to")?.toLowerCase() || undefined, query: params.get("query") || undefined };
    const read = () => store.list({ ...filter, before, after, limit: Math.min(Math.max(limit ?? 0, 1), listMax) });
    const signal = waitMs === undefined || waitMs === 0 ? undefined : waiting(Math.min(waitMs, waitMsMax), response);
    let messages: Awaited<ReturnType<typeof read>> = [];
    for (;;) {
      // Asked for before reading, so that a mail stored in between is not missed.
      const change = signal === undefined ? undefined : store.changed(signal);
      messages = await read();
      if (messages.length > 0 || signal === undefined || signal.aborted) break;
      await change;
    }
    return json({ messages, ...(params.get("total") === "true" && { total: await store.count(filter) }) });
  }

  function waiting(ms: number, response: ServerResponse): AbortSignal {
    const gone = new AbortController();
    response.once("close", () => gone.abort());
    return AbortSignal.any([AbortSignal.timeout(ms), stopped.signal, gone.signal]);
  }

  return {
    handle(request, response) {
      request.resume();
      answer(request, response)
        .catch((error: unknown) => {
          log.error({ error }, "the mailbox could not answer");
          return problem(500, "see the log");
        })
        .then((given) => send(request, response, { ...given, close: stopped.signal.aborted }))
        .catch((error: unknown) => log.error({ error }, "the mailbox could not answer"));
    },
    stop: () => stopped.abort(),
  };
}

function send(
  request: IncomingMessage,
  response: ServerResponse,
  { status = 200, type = "application/json", policy = strict, body, close }: Answer,
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

function json(value: unknown): Answer {
  return { body: JSON.stringify(value) };
}

function problem(status: number, detail: string): Answer {
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

/** Without what transport and parser did to its lines. */
function asWritten(text: string | undefined): string | undefined {
  return text?.replaceAll("\r\n", "\n").replace(/\n$/, "");
}

function addresses(given: readonly Address[]) {
  return given.flatMap((entry) => (entry.group === undefined ? [entry] : entry.group)).map(({ name, address }) => ({ name, address }));
}

/** With links that open a tab of their own, because the frame is a sandbox. */
function htmlPage({ html: original, text }: Email): string {
  const base = html`<base target="_blank">`;
  if (original === undefined) return html`<!doctype html>${base}<pre>${text ?? ""}</pre>`.html;
  const head = /<head[^>]*>/i;
  return head.test(original) ? original.replace(head, (tag) => tag + base.html) : `${base.html}${original}`;
}
