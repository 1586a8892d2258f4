import { MoneyError, moneyFrom } from "@kontor/contracts/money.ts";
import type { Money } from "@kontor/contracts/money.ts";
import { secretId } from "@kontor/platform/ids/ids.ts";
import { listCharges, listRefunds } from "./ledger.ts";
import type { EntryIds } from "./ledger.ts";
import type { DecideNeeds } from "./decide-by-card.ts";
import { readFaults } from "./faults.ts";
import { badRequest, HttpProblem, jsonResponse } from "./http.ts";
import type { HttpResponse } from "./http.ts";
import { insertRefund, lockSession, refundSituation } from "./refund-store.ts";
import type { RefundStatus } from "./refund-store.ts";
import { sessionJson } from "./session-store.ts";
import type { NewSession, SessionRow } from "./session-store.ts";

export interface ApiNeeds extends DecideNeeds {
  readonly refunds: EntryIds;
  readonly publicUrl: () => string;
}

type Body = Readonly<Record<string, unknown>>;

const keyForm = /^[\x21-\x7e]{1,200}$/;

/** Opens a session: 201. The one that has the key already, closed ones too: 200. Refuses a key that was used for something else: 409. */
export async function openSession({ sessions, clock, publicUrl }: ApiNeeds, body: Body): Promise<HttpResponse> {
  const session: NewSession = {
    key: textOf(body, "key", keyForm, "must be 1 to 200 visible ASCII characters"),
    amount: amountIn(body),
    reference: textOf(body, "reference", /^[^\x00-\x1f\x7f]{1,200}$/, "must be 1 to 200 characters"),
    returnUrl: textOf(body, "returnUrl", /^https?:\/\/[\x21-\x7e]{1,2000}$/, "must be an http or https address"),
    page: secretId("cs"),
    at: clock.now(),
  };
  if (!URL.canParse(session.returnUrl)) throw badRequest("returnUrl", "must be an http or https address");
  const stored = await sessions.open(session);
  if (stored.page === session.page) return jsonResponse(201, sessionJson(stored, publicUrl()));
  const { currency, minor } = session.amount;
  if (stored.page !== null && (stored.amount !== minor || stored.currency !== currency || stored.reference !== session.reference))
    throw keyReused();
  return jsonResponse(200, sessionJson(stored, publicUrl()));
}

/** A session as it is, or 404. */
export async function readSession({ sessions, publicUrl }: ApiNeeds, key: string): Promise<HttpResponse> {
  // One that no session can have is not looked up: the database might refuse it, and with it all that are looked up together.
  const found = keyForm.test(key) ? await sessions.find(key) : undefined;
  return jsonResponse(200, sessionJson(sessionOf(found), publicUrl()));
}

/** Closes a session unless it is decided or being decided; one that was never opened too. Gives it as it then is. */
export async function closeSession({ sessions, clock, publicUrl }: ApiNeeds, key: string): Promise<HttpResponse> {
  if (!keyForm.test(key)) throw badRequest("key", "must be 1 to 200 visible ASCII characters");
  return jsonResponse(200, sessionJson(await sessions.close({ key, at: clock.now() }), publicUrl()));
}

/** Refunds money, once per refund key: failed when it is more than is left of the charge. */
export async function refundSession(needs: ApiNeeds, sessionKey: string, body: Body): Promise<HttpResponse> {
  const { database, clock, ids, refunds, webhooks, faults } = needs;
  const key = textOf(body, "key", keyForm, "must be 1 to 200 visible ASCII characters");
  const amount = amountIn(body);
  if (amount.minor === 0n) throw badRequest("amount.amount", "must be above zero");
  const webhook = { id: ids.next("evt"), times: faults.drawWebhookTimes() ?? 1 };
  const at = clock.now();
  webhooks.hold(webhook.id);
  let recorded: { readonly status: RefundStatus; readonly refunded?: SessionRow };
  try {
    recorded = await refunds.use((id) =>
      database.transaction(async (tx) => {
        const session = sessionOf(await lockSession(tx, sessionKey));
        const { existing, left } = await refundSituation(tx, { key, session: sessionKey });
        if (existing !== undefined) {
          if (existing.session !== sessionKey || existing.currency !== amount.currency || existing.amount !== amount.minor)
            throw keyReused();
          return { status: existing.status };
        }
        const status = left !== undefined && left.currency === amount.currency && amount.minor <= left.minor ? "succeeded" : "failed";
        await insertRefund(tx, { id, key, session, amount, status, webhook, at });
        return status === "succeeded" ? { status, refunded: session } : { status };
      }),
    );
  } catch (error) {
    webhooks.release(webhook.id, { uncertain: !(error instanceof HttpProblem) });
    throw error;
  }
  if (recorded.refunded === undefined) webhooks.release(webhook.id, { uncertain: false });
  else webhooks.offer({ ...webhook, type: "refund.succeeded", at, attempts: 0, session: recorded.refunded });
  return jsonResponse(200, { status: recorded.status });
}

/** A page of the ledger: `after` is the last id that the reader has. */
export async function readLedger(
  { database, charges, refunds }: ApiNeeds,
  which: "charges" | "refunds",
  query: URLSearchParams,
): Promise<HttpResponse> {
  const limit = Number(query.get("limit") ?? 100);
  if (!Number.isInteger(limit) || limit < 1 || limit > 1_000) throw badRequest("limit", "must be a whole number from 1 to 1000");
  const after = query.get("after") ?? "";
  if (after !== "" && !/^[a-z]{2}_[0-9a-z]{1,40}$/.test(after)) throw badRequest("after", "must be the id of an entry");
  const page = { after, limit };
  return jsonResponse(
    200,
    which === "charges"
      ? await listCharges(database, { ...page, horizon: charges.horizon() })
      : await listRefunds(database, { ...page, horizon: refunds.horizon() }),
  );
}

/** Replaces the faults, and gives them. */
export function setFaults({ faults }: ApiNeeds, body: Body): HttpResponse {
  faults.set(readFaults(body));
  return jsonResponse(200, faults.get());
}

function sessionOf(row: SessionRow | undefined): SessionRow {
  if (row === undefined) throw new HttpProblem(404, "not_found", "There is no such session");
  return row;
}

function keyReused(): HttpProblem {
  return new HttpProblem(409, "key_reused", "The key was used for something else", "key");
}

function textOf(body: Body, field: string, form: RegExp, message: string): string {
  const value = body[field];
  if (typeof value !== "string" || !form.test(value)) throw badRequest(field, message);
  return value;
}

function amountIn(body: Body): Money {
  const { currency, amount } = (body["amount"] ?? {}) as { readonly currency?: unknown; readonly amount?: unknown };
  if (typeof currency !== "string") throw badRequest("amount.currency", "must be a currency of ISO 4217");
  if (typeof amount !== "string") throw badRequest("amount.amount", "must be decimal text such as 19.99");
  try {
    return moneyFrom({ currency, amount });
  } catch (error) {
    if (!(error instanceof MoneyError)) throw error;
    if (error.reason === "CURRENCY") throw badRequest("amount.currency", "must be a currency of ISO 4217");
    throw badRequest("amount.amount", error.message);
  }
}
