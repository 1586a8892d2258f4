import { readFileSync } from "node:fs";
import { decideByCard } from "./decide-by-card.ts";
import type { DecideNeeds } from "./decide-by-card.ts";
import { HttpProblem } from "./http.ts";
import type { HttpResponse } from "./http.ts";
import { formPage, messagePage, spaced, statePage } from "./page-html.ts";
import type { SessionRow } from "./session-store.ts";
import { readCard, testCards } from "./test-cards.ts";

export interface PageNeeds extends DecideNeeds {
  readonly merchant: string;
}

/** A response, and until when the page waits for it. */
export interface PaidResponse {
  readonly response: HttpResponse;
  readonly notBefore?: Date;
}

const pageForm = /^cs_[0-9a-z]{32}$/;

/** The page itself: the form of an open session, the state of any other. `?card=` names a test card that fills the form. */
export async function showPage(needs: PageNeeds, page: string, query: URLSearchParams): Promise<HttpResponse> {
  const session = await pageSession(needs, page);
  if (session.status !== "open") return htmlResponse(200, statePage(session, needs.merchant), session.returnUrl);
  const card = testCards.find(({ name }) => name === query.get("card"));
  const number = card === undefined ? "" : spaced(card.number);
  return htmlResponse(200, formPage(session, { merchant: needs.merchant, number, problem: undefined }), session.returnUrl);
}

/** Pays with the card of the form and sends the shopper back; the page says when the card is none, or the bank does not respond. */
export async function pay(needs: PageNeeds, page: string, form: URLSearchParams): Promise<PaidResponse> {
  const { clock, delays, merchant } = needs;
  const field = (name: string): string => form.get(name) ?? "";
  const at = clock.now();
  const card = readCard({ number: field("number"), expiry: field("expiry"), cvc: field("cvc") }, at);
  if ("message" in card) {
    const session = await pageSession(needs, page);
    if (session.status !== "open") return { response: decidedResponse(session, merchant) };
    return { response: htmlResponse(422, formPage(session, { merchant, number: "", problem: card }), session.returnUrl) };
  }
  const decided = pageForm.test(page) ? await decideByCard(needs, page, card) : undefined;
  if (decided === undefined) return { response: decidedResponse(await pageSession(needs, page), merchant) };
  if (decided.status !== "processing") return { response: redirectBack(decided) };
  const afterMs = card.outcome.kind === "timeout" ? delays.timeoutMs : delays.approvalPageMs;
  return { response: htmlResponse(504, statePage(decided, merchant), decided.returnUrl), notBefore: new Date(at.getTime() + afterMs) };
}

/** For somebody who pays what is decided, such as by a second click: the shop shows how it ended. */
function decidedResponse(session: SessionRow, merchant: string): HttpResponse {
  if (session.status === "succeeded" || session.status === "declined") return redirectBack(session);
  return htmlResponse(409, statePage(session, merchant), session.returnUrl);
}

function redirectBack({ returnUrl }: SessionRow): HttpResponse {
  return { status: 303, headers: ["Location", returnUrl, ...alwaysHeaders], body: "" };
}

async function pageSession({ sessions }: PageNeeds, page: string): Promise<SessionRow> {
  const session = pageForm.test(page) ? await sessions.findByPage(page) : undefined;
  if (session === undefined) throw new HttpProblem(404, "not_found", "There is no such page");
  return session;
}

const alwaysHeaders: readonly string[] = [
  "Cache-Control",
  "no-store",
  "Referrer-Policy",
  "no-referrer",
  "X-Content-Type-Options",
  "nosniff",
  "X-Frame-Options",
  "DENY",
];

/** A page. Browsers hold the redirect that follows a form to `form-action`, so the shop's origin has to be in it. */
function htmlResponse(status: number, body: string, returnUrl?: string): HttpResponse {
  const back = returnUrl === undefined ? "" : ` ${new URL(returnUrl).origin}`;
  const policy = `default-src 'none'; style-src 'self'; script-src 'self'; form-action 'self'${back}; base-uri 'none'; frame-ancestors 'none'`;
  return { status, headers: ["Content-Type", "text/html; charset=utf-8", "Content-Security-Policy", policy, ...alwaysHeaders], body };
}

/** A problem as a page, for a shopper. */
export function problemPage({ status, message }: HttpProblem): HttpResponse {
  const title = status === 404 ? "There is nothing here" : status < 500 ? "This did not work" : "Something went wrong";
  return htmlResponse(status, messagePage(title, status < 500 ? `${message}.` : "Please look again in a moment, before you pay again."));
}

const asset = (name: string, type: string): readonly [string, HttpResponse] => [
  name,
  {
    status: 200,
    headers: ["Content-Type", type, "Cache-Control", "public, max-age=300", "X-Content-Type-Options", "nosniff"],
    body: readFileSync(new URL(`../pages/${name}`, import.meta.url), "utf8"),
  },
];

/** What the pages need besides themselves, by name. */
export const assets: ReadonlyMap<string, HttpResponse> = new Map([
  asset("pay.css", "text/css; charset=utf-8"),
  asset("pay.js", "text/javascript; charset=utf-8"),
]);
