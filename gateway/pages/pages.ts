import { readFileSync } from "node:fs";
import type { DescService } from "@bufbuild/protobuf";
import docs from "@kontor/contracts/gen/docs.json" with { type: "json" };
import { openApiDocument } from "@kontor/platform/contract/openapi.ts";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import { fillTemplate, html } from "@kontor/platform/html/html.ts";
import type { Html } from "@kontor/platform/html/html.ts";
import { pageRoute } from "./page.ts";
import type { Page, PageResponse } from "./page.ts";
import { scalarPage, scalarPath } from "./scalar-bundle.ts";
import { reasonPath } from "../edge/problem.ts";
import type { Reason } from "../edge/problem.ts";
import type { Responder } from "../edge/responder.ts";
import type { Route } from "../route-table.ts";

export interface PagesOptions {
  readonly services: readonly DescService[];
  readonly reasons: ReadonlyMap<string, Reason>;
  readonly publicUrl: string;
  readonly shopName: string;
  readonly ready: () => Promise<boolean>;
  readonly texts: {
    readonly version?: string;
    /** Links on the welcome page, such as the mailbox's and the payment provider's. */
    readonly links?: readonly { readonly name: string; readonly url: string; readonly about: string }[];
  };
}

const asset = (name: string): string => readFileSync(new URL(`./${name}`, import.meta.url), "utf8");

/** The gateway's own pages: health, the API's description and a page to try it, the meaning of errors, a welcome. */
export function pageRoutes({ services, reasons, publicUrl, shopName, ready, texts }: PagesOptions, responder: Responder): readonly Route[] {
  const { version = "0.1.0", links = [] } = texts;
  const openapi = JSON.stringify(openApiDocument({ services, docs, info: { title: shopName, version, url: publicUrl } }));
  const frame = asset("frame.html");
  const header = fillTemplate(asset("header.html"), { shop: shopName });
  const framed = (title: string, body: Html): PageResponse => htmlPage(fillTemplate(frame, { title, header, body }));
  const all = [...reasons.values()].sort((a, b) => (a.reason < b.reason ? -1 : 1));

  const live: Page = () => ({ ...jsonPage('{"status":"live"}'), cacheControl: "no-store" });
  const readiness: Page = async () => {
    if (await ready()) return { ...jsonPage('{"status":"ready"}'), cacheControl: "no-store" };
    throw refuse({ reason: "DEPENDENCY_UNAVAILABLE", code: "unavailable", message: "Not ready" });
  };
  const reasonPage: Page = ({ reason }) => {
    const known = reasons.get(reason ?? "");
    if (known === undefined) throw refuse({ reason: "NOT_FOUND", code: "not_found" });
    return framed(known.title, aboutReason(known));
  };
  const pages: Readonly<Record<string, Page>> = {
    "/livez": live,
    "/readyz": readiness,
    "/openapi.json": fixed(jsonPage(openapi)),
    "/": fixed(framed(shopName, fillTemplate(asset("welcome.html"), { shop: shopName, url: publicUrl, links: links.map(linkItem) }))),
    "/docs": fixed({
      ...htmlPage(fillTemplate(asset("api-reference.html"), { header, bundle: scalarPath })),
      policy: "apiReference",
    }),
    "/docs/api-reference.js": fixed({ ...jsonPage(asset("api-reference.js")), type: "text/javascript; charset=utf-8" }),
    [scalarPath]: scalarPage(),
    "/docs/style.css": fixed({ ...jsonPage(asset("style.css")), type: "text/css; charset=utf-8" }),
    "/docs/errors": fixed(framed("Errors", errorList(all))),
    "/docs/errors/{reason}": reasonPage,
  };
  return Object.entries(pages).map(([template, page]) => pageRoute(template, page, responder));
}

const fixed =
  (response: PageResponse): Page =>
  () =>
    response;

function jsonPage(body: string): PageResponse {
  return { status: 200, type: "application/json", body, policy: "page", cacheControl: "no-cache" };
}

function htmlPage({ html: body }: Html): PageResponse {
  return { ...jsonPage(body), type: "text/html; charset=utf-8" };
}

function linkItem({ name, url, about }: NonNullable<PagesOptions["texts"]["links"]>[number]): Html {
  return html`<li><a href="${url}">${name}</a><span>${about}</span></li>`;
}

function errorList(reasons: readonly Reason[]): Html {
  const rows = reasons.map(
    ({ reason, status, title }) =>
      html`<tr><td><a href="${reasonPath(reason)}"><code>${reason}</code></a></td><td>${status}</td><td>${title}</td></tr>`,
  );
  return html`<h1>Errors</h1><p class="lead">Every error is a problem (RFC 9457) with one of these reasons.</p><table><thead><tr><th>reason</th><th>status</th><th>meaning</th></tr></thead><tbody>${rows}</tbody></table>`;
}

function aboutReason({ reason, status, title, code }: Reason): Html {
  return html`<p class="crumb"><a href="/docs/errors">Errors</a></p><h1>${title}</h1><p class="lead"><code>${reason}</code> · HTTP ${status} · <code>${code}</code></p><p>${adviceFor(status)}</p>`;
}

function adviceFor(status: number): string {
  if (status === 401)
    return "Sign in and send the access token as Authorization: Bearer. When it has expired, get another with the refresh token.";
  if (status === 403) return "The same request will be refused again for this account.";
  if (status === 404) return "It does not exist, or this account may not see it.";
  if (status === 409)
    return "The state forbids it. Read it again and decide again; when the response has Retry-After, the same request may succeed later.";
  if (status === 429 || status === 503) return "Wait as long as Retry-After says, then repeat with the same Idempotency-Key.";
  if (status === 500 || status === 504) return "The outcome may be unknown. Repeat with the same Idempotency-Key: nothing happens twice.";
  return "The request itself has to change. The problem's detail and errors say where.";
}
