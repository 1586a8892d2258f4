import { readFileSync } from "node:fs";
import { decideByCard } from "./decide.ts";
import type { DecideNeeds } from "./decide.ts";
import { HttpProblem } from "./http.ts";
import type { Answer } from "./http.ts";
import { formPage, messagePage, spaced, statePage } from "./page-html.ts";
import { findSessionByPage } from "./session-store.ts";
import type { SessionRow } from "./session-store.ts";
import { readCard, testCards } from "./test-cards.ts";

export interface PageNeeds extends DecideNeeds {
  readonly merchant: string;
}

/** An answer, and until when the page stays without it. */
export interface PaidAnswer {
  readonly answer: Answer;
  readonly notBefore?: Date;
}

const pageForm = /^cs_[0-9a-z]{32}$/;

/** The page itself: the form of an open session, how it stands of any other. `?card=` names a test card that fills the form. */
export async function showPage(needs: PageNeeds, page: string, query: URLSearchParams): Promise<Answer> {
  const session = await pageSession(needs, page);
  if (session.status !== "open") return htmlAnswer(200, statePage(session, needs.merchant), session.returnUrl);
  const card = testCards.find(({ name }) => name === query.get("card"));
  const number = card === undefined ? "" : spaced(card.number);
  return htmlAnswer(200, formPage(session, { merchant: needs.merchant, number, problem: undefined }), session.returnUrl);
}

/** Pays with the card of the form and sends the shopper back; says so when the card is none, or the bank does not answer. */
export async function pay(needs: PageNeeds, page: string, form: URLSearchParams): Promise<PaidAnswer> {
  const { clock, delays, merchant } = needs;
  const field = (name: string): string => form.get(name) ?? "";
  const at = clock.now();
  const card = readCard({ number: field("number"), expiry: field("expiry"), cvc: field("cvc") }, at);
  if ("message" in card) {
    const session = await pageSession(needs, page);
    if (session.status !== "open") return { answer: overAnswer(session, merchant) };
    return { answer: htmlAnswer(422, formPage(session, { merchant, number: "", problem: card }), session.returnUrl) };
  }
  const decided = pageForm.test(page) ? await decideByCard(needs, page, card) : undefined;
  if (decided === undefined) return { answer: overAnswer(await pageSession(needs, page), merchant) };
  if (decided.status !== "processing") return { answer: backAnswer(decided) };
  const afterMs = card.outcome.kind === "timeout" ? delays.timeoutMs : delays.approvalAnswerMs;
  return { answer: htmlAnswer(504, statePage(decided, merchant), decided.returnUrl), notBefore: new Date(at.getTime() + afterMs) };
}

/** To somebody who pays what is decided, such as by a second click: the shop tells how it ended. */
function overAnswer(session: SessionRow, merchant: string): Answer {
  if (session.status === "succeeded" || session.status === "declined") return backAnswer(session);
  return htmlAnswer(409, statePage(session, merchant), session.returnUrl);
}

function backAnswer({ returnUrl }: SessionRow): Answer {
  return { status: 303, headers: ["Location", returnUrl, ...alwaysHeaders], body: "" };
}

async function pageSession({ database }: PageNeeds, page: string): Promise<SessionRow> {
  const session = pageForm.test(page) ? await findSessionByPage(database, page) : undefined;
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
function htmlAnswer(status: number, body: string, returnUrl?: string): Answer {
  const back = returnUrl === undefined ? "" : ` ${new URL(returnUrl).origin}`;
  const policy = `default-src 'none'; style-src 'self'; script-src 'self'; form-action 'self'${back}; base-uri 'none'; frame-ancestors 'none'`;
  return { status, headers: ["Content-Type", "text/html; charset=utf-8", "Content-Security-Policy", policy, ...alwaysHeaders], body };
}

/** A problem as a page, for a shopper. */
export function problemPage({ status, message }: HttpProblem): Answer {
  const title = status === 404 ? "There is nothing here" : status < 500 ? "This did not work" : "Something went wrong";
  return htmlAnswer(status, messagePage(title, status < 500 ? `${message}.` : "Please look again in a moment, before you pay again."));
}

const asset = (name: string, type: string): readonly [string, Answer] => [
  name,
  {
    status: 200,
    headers: ["Content-Type", type, "Cache-Control", "public, max-age=300", "X-Content-Type-Options", "nosniff"],
    body: readFileSync(new URL(`../pages/${name}`, import.meta.url), "utf8"),
  },
];

/** What the pages need besides themselves, by name. */
export const assets: ReadonlyMap<string, Answer> = new Map([
  asset("pay.css", "text/css; charset=utf-8"),
  asset("pay.js", "text/javascript; charset=utf-8"),
]);
