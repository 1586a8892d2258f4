import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createMemoryCache } from "@kontor/platform/cache/memory.ts";
import { refusalIn } from "@kontor/platform/errors/refusal.ts";
import type { Refusal } from "@kontor/platform/errors/refusal.ts";
import { testCall } from "@kontor/platform/testing/test-services.ts";
import { attemptsMax, countDeclines, expectAttempt } from "./attempt-limits.ts";
import { openTestPayments } from "./open-test-payments.ts";
import type { TestPayments } from "./open-test-payments.ts";
import type { AttemptState } from "./payment.ts";

const caller = (origin: string) => testCall({ user: {} }).with({ origin });

async function outcomeOf<T>(work: Promise<T>): Promise<T | Refusal> {
  try {
    return await work;
  } catch (error) {
    const refusal = refusalIn(error);
    if (refusal === undefined) throw error;
    return refusal;
  }
}

/** Opens the payment's public page, declines the card, and gives what the page did. */
async function tryCard({ client, provider, read, webhook }: TestPayments, payment: string, origin: string): Promise<string> {
  const opened = await outcomeOf(client.openPaymentPage({ secret: payment.replace("pay_", "pp_") }, testCall().with({ origin })));
  if (opened instanceof Error) return opened.reason;
  const attempt = (await read(payment)).attempts.at(-1)!.id;
  provider.decline(attempt);
  await webhook(attempt);
  return "declined";
}

describe("payments: declines", () => {
  it("S19: of forty cards that are declined on a payment's public page at once, three are tried; the pauses grow, and another's payment goes on", async () => {
    const app = await openTestPayments();
    const { id } = await app.open();
    const tried: string[] = [];
    for (let nth = 0; nth < 40; nth++) tried.push(await tryCard(app, id, "hostile"));
    assert.deepEqual([tried.filter((one) => one === "declined").length, tried.at(-1)], [3, "TOO_MANY_ATTEMPTS"]);
    const refusal = (await outcomeOf(app.client.createAttempt({ payment: id }, caller("hostile")))) as Refusal;
    assert.deepEqual([refusal.code, refusal.details, refusal.retryAfterMs], ["resource_exhausted", { limit: "payment" }, 10_000]);
    const other = await app.open();
    assert.match((await app.client.openPaymentPage({ secret: "pp_2" }, testCall().with({ origin: "other" }))).url, /^https/);
    assert.equal((await app.read(other.id)).attempts.length, 1);
    app.clock.advance(10_000);
    assert.equal(await tryCard(app, id, "hostile"), "declined");
    app.clock.advance(19_999);
    assert.equal(await tryCard(app, id, "hostile"), "TOO_MANY_ATTEMPTS");
    app.clock.advance(1);
    assert.match((await app.client.createAttempt({ payment: id }, caller("hostile"))).url ?? "", /^https/);
  });

  it("S19: a payment has twenty attempts, however slowly they come", () => {
    const at = new Date("2026-03-02T09:00:00Z");
    const attempt = (status: AttemptState) => ({ id: "att", status, provider: "p", declineCode: "", createdAt: at, updatedAt: at });
    const later = new Date(at.getTime() + 900_000);
    for (const status of ["DECLINED", "ABANDONED"] as const) {
      expectAttempt({ attempts: Array.from({ length: attemptsMax - 1 }, () => attempt(status)) }, later);
      assert.throws(
        () => expectAttempt({ attempts: Array.from({ length: attemptsMax }, () => attempt(status)) }, later),
        (error) => refusalIn(error)?.reason === "TOO_MANY_ATTEMPTS" && refusalIn(error)?.retryAfterMs === undefined,
      );
    }
  });

  it("S19: declines count for the account over all its payments, and for the address over all accounts, with pauses that grow", async () => {
    let nowMs = 0;
    const declines = countDeclines(createMemoryCache({ maxEntries: 1_000, clock: () => nowMs }));
    const may = async (customer: string, origin: string) => {
      const outcome = await outcomeOf(declines.expectAttempt({ customer, origin }));
      return outcome === undefined ? "yes" : [(outcome.details as { limit: string }).limit, outcome.retryAfterMs];
    };
    for (let nth = 0; nth < 6; nth++) await declines.count({ customer: "usr_1", origin: `address ${nth}` });
    assert.deepEqual(await may("usr_1", "elsewhere"), ["account", 30_000]);
    assert.equal(await may("usr_2", "address 1"), "yes");
    nowMs = 30_000;
    assert.equal(await may("usr_1", "elsewhere"), "yes");
    await declines.count({ customer: "usr_1", origin: undefined });
    assert.deepEqual(await may("usr_1", "elsewhere"), ["account", 60_000]);
    for (let nth = 0; nth < 101; nth++) await declines.count({ customer: `usr_of_farm_${nth}`, origin: "farm" });
    assert.deepEqual(await may("usr_new", "farm"), ["address", 5_000]);
    assert.equal(await may("usr_new", "home"), "yes");
  });
});
