import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { rm } from "node:fs/promises";
import { before, describe, it } from "node:test";
import { InventoryService } from "@kontor/contracts/gen/kontor/inventory/v1/inventory_pb.js";
import { readConfiguration } from "@kontor/kontor/configuration.ts";
import { openApp } from "@kontor/kontor/app.ts";
import type { App } from "@kontor/kontor/app.ts";
import { verify } from "@kontor/kontor/verify/verify.ts";
import { ManualClock } from "@kontor/platform/clock/clock.ts";
import { eraseEmbeddedPostgres } from "@kontor/platform/database/embedded.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import { rootCall } from "@kontor/platform/call/call.ts";
import { createLogger } from "@kontor/platform/telemetry/create-logger.ts";
import { afterTests } from "@kontor/platform/testing/postgres.ts";
import { testFolder } from "@kontor/platform/testing/server.ts";
import { operatorOf } from "./operator.ts";
import type { Operator } from "./operator.ts";
import { freePorts } from "./free-ports.ts";
import { Shopper } from "./shopper.ts";
import type { Answer, Places } from "./shopper.ts";

const races = Number(process.env["KONTOR_EXPIRY_RACES"] ?? 8);
const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
/** The time when the app opens. */
const opened = new Date("2026-03-02T09:00:00Z");

describe("an app whose clock is moved", () => {
  const clock = new ManualClock(opened);
  const lines: string[] = [];
  let app: App;
  let operator: Operator;
  let places: Places;
  let admin: Shopper;

  before(async () => {
    const folder = await testFolder();
    const [port, mailbox, smtp, provider] = await freePorts(4);
    const config = readConfiguration({
      KONTOR_DATA: folder,
      KONTOR_SEED: "none",
      KONTOR_PORT: String(port),
      KONTOR_MAILBOX_PORT: String(mailbox),
      KONTOR_SMTP_PORT: String(smtp),
      KONTOR_PROVIDER_PORT: String(provider),
    });
    afterTests(async () => {
      await app?.stop();
      await eraseEmbeddedPostgres(folder);
      await rm(folder, { recursive: true, force: true });
    });
    const log = createLogger({ service: "kontor", format: "json", stream: { write: (line) => void lines.push(line) } });
    app = await openApp({ config, log, clock, as: "shop", settings: { fsync: "off" }, freeze: true });
    operator = operatorOf(app);
    places = app.addresses;
    [admin] = (await operator.shoppers(places, 1, ["admin"])) as [Shopper];
  });

  /** Moves the clock on and lets everything happen that is due then. An access token lasts ten minutes, so all sign in anew. */
  async function pass(ms: number, ...shoppers: readonly Shopper[]): Promise<void> {
    clock.advance(ms);
    await app.settle();
    for (const shopper of shoppers) await shopper.login();
  }

  /** A shopper, a SKU with 5 units, and the shopper's order of 2. */
  async function order(): Promise<{ readonly ada: Shopper; readonly sku: string; readonly placed: Answer["body"] }> {
    const [ada] = (await operator.shoppers(places, 1)) as [Shopper];
    const [sku] = (await operator.products([5])) as [string];
    const { status, body: placed } = await ada.order([{ sku, quantity: 2 }]);
    assert.equal(status, 201, JSON.stringify(placed));
    return { ada, sku, placed };
  }

  async function stock(sku: string): Promise<{ readonly onHand: number; readonly reserved: number }> {
    const { items } = await app
      .clientsFor("kontor")
      .of("inventory", InventoryService)
      .listStock({ sku: [sku] }, rootCall({ caller: "kontor", user, timeoutMs: 5_000 }));
    const [{ onHand, reserved }] = items as [(typeof items)[number]];
    return { onHand, reserved };
  }
  const user = { id: "usr_keeper", session: "ses_keeper", roles: ["admin"], verified: true };

  const subjects = async (ada: Shopper): Promise<string[]> =>
    (await ada.inbox()).map(({ subject }) => subject.replace(/ord_\w+/, "ORDER")).toReversed();
  const reminder = "Your order ORDER waits for its payment";
  const confirmation = "Your order ORDER is paid";
  const cancellation = "Your order ORDER is cancelled";

  it("ORD-09 ORD-11 ORD-14 INV-06 NTF-04 NTF-05: unpaid, it is reminded of at 4, 12 and 22 hours and cancelled at 24, its units free again", async () => {
    const { ada, sku, placed } = await order();
    assert.deepEqual(await stock(sku), { onHand: 5, reserved: 2 });
    const due = clock.now().getTime() + 24 * hourMs;
    assert.equal(Date.parse(placed.expiresAt), due);
    let passed = 0;
    for (const [nth, hours] of [4, 12, 22].entries()) {
      await pass((hours - passed) * hourMs - minuteMs, ada);
      assert.equal((await ada.inbox()).length, nth, `a minute before ${hours} h`);
      await pass(minuteMs, ada);
      assert.equal((await ada.inbox()).length, nth + 1, `at ${hours} h`);
      passed = hours;
    }
    const [last] = await ada.inbox();
    for (const expected of [placed.id, "39.98 EUR", placed.payment.url])
      assert.ok(last!.text.includes(expected), `${expected} in ${last!.text}`);
    await pass(2 * hourMs - minuteMs, ada);
    assert.equal((await ada.expect(200, "GET", `/v1/orders/${placed.id}`)).body.status, "PENDING");
    await pass(minuteMs, ada);

    const { body: cancelled } = await ada.expect(200, "GET", `/v1/orders/${placed.id}`);
    assert.equal(cancelled.status, "CANCELLED");
    assert.deepEqual(
      cancelled.history.map(({ status, cause }: { status: string; cause: string }) => [status, cause]),
      [
        ["PENDING", ""],
        ["CANCELLED", "EXPIRED"],
      ],
    );
    assert.equal((await ada.expect(200, "GET", `/v1/payments/${placed.payment.id}`)).body.status, "CLOSED");
    assert.deepEqual(await stock(sku), { onHand: 5, reserved: 0 });
    assert.deepEqual(await subjects(ada), [reminder, reminder, reminder, cancellation]);
    const { body: history } = await ada.expect(200, "GET", `/v1/orders/${placed.id}/history`);
    assert.equal(history.items.filter(({ type }: { type: string }) => type === "orders.order.cancelled").length, 1);

    const late = await ada.call("GET", new URL(placed.payment.url).pathname);
    assert.match(late.headers.get("location") ?? "", /\/done$/, "it can be paid no more");
    // The reservation would have ended by itself an hour later: it frees nothing a second time.
    await pass(2 * hourMs, ada);
    assert.deepEqual(await stock(sku), { onHand: 5, reserved: 0 });
    assert.equal((await ada.inbox()).length, 4);
  });

  it("ORD-10 ORD-12 NTF-02: paid at 5 hours there was one reminder, and it is completed a day after it was paid", async () => {
    const { ada, sku, placed } = await order();
    await pass(4 * hourMs, ada);
    await pass(hourMs, ada);
    await ada.pay(placed.payment.url);
    await app.settle();
    assert.equal((await ada.expect(200, "GET", `/v1/orders/${placed.id}`)).body.status, "PAID");
    assert.deepEqual(await stock(sku), { onHand: 3, reserved: 0 });
    await pass(23 * hourMs, ada);
    assert.equal((await ada.expect(200, "GET", `/v1/orders/${placed.id}`)).body.status, "PAID");
    await pass(hourMs, ada);
    assert.equal((await ada.expect(200, "GET", `/v1/orders/${placed.id}`)).body.status, "COMPLETED");
    assert.deepEqual(await subjects(ada), [reminder, confirmation]);
    const { count } = await app.databases
      .get("orders")!
      .one<{ count: bigint | number }>(sql`select count(*) as count from tasks where key = ${placed.id} and state = 'waiting'`);
    assert.equal(Number(count), 0, "nothing is left to do for it");
  });

  it("ORD-12 ORD-05 NTF-03: fulfilled before, it is completed at once and stays so", async () => {
    const { ada, placed } = await order();
    await ada.pay(placed.payment.url);
    await app.settle();
    await pass(6 * hourMs, ada, admin);
    await admin.expect(201, "POST", `/v1/orders/${placed.id}/fulfilments`, { json: { carrier: "Hanse Post", tracking: "HP 1" } });
    await pass(18 * hourMs, ada, admin);
    const { body } = await ada.expect(200, "GET", `/v1/orders/${placed.id}`);
    assert.deepEqual(
      body.history.map(({ status }: { status: string }) => status),
      ["PENDING", "PAID", "COMPLETED"],
    );
    assert.deepEqual(await subjects(ada), [confirmation, "Your order ORDER is on its way"]);
    await ada.expect(409, "POST", `/v1/orders/${placed.id}/cancel`, { json: {} });
  });

  it("ORD-09: after a night in which the shop was stopped there is one reminder, not three", async () => {
    const { ada, placed } = await order();
    await pass(23 * hourMs, ada);
    assert.deepEqual(await subjects(ada), [reminder]);
    await pass(hourMs, ada);
    assert.equal((await ada.expect(200, "GET", `/v1/orders/${placed.id}`)).body.status, "CANCELLED");
  });

  it("R5: a key that is sent again 23 hours later gets the same bytes, and makes nothing", async () => {
    const { ada, sku } = await order();
    const key = randomUUID();
    const json = { currency: "EUR", lines: [{ sku, quantity: 1 }] };
    const first = await ada.expect(201, "POST", "/v1/orders", { json, key });
    await pass(23 * hourMs, ada);
    const again = await ada.expect(201, "POST", "/v1/orders", { json, key });
    assert.equal(again.text, first.text);
    assert.equal((await ada.expect(200, "GET", "/v1/orders")).body.items.length, 2);
    await pass(2 * hourMs, ada);
    assert.deepEqual(await stock(sku), { onHand: 5, reserved: 0 });
  });

  it(`ORD-15: ${races} orders are paid in the moment that they expire: each is paid and stays, or cancelled and not charged`, async (t) => {
    const all: Awaited<ReturnType<typeof order>>[] = [];
    while (all.length < races) all.push(await order()); // passwords are hashed a few at a time
    const pages = await Promise.all(
      all.map(async ({ placed }) => {
        const opened = await fetch(placed.payment.url, { redirect: "manual" });
        await opened.arrayBuffer();
        return opened.headers.get("location")!;
      }),
    );
    clock.advance(24 * hourMs);
    await Promise.all([
      app.settle(),
      ...pages.map(async (page, nth) => {
        // One after the other, so that some come before the closing and some after.
        await new Promise((resolve) => setTimeout(resolve, (nth * 200) / races));
        const paid = await fetch(page, { method: "POST", redirect: "manual", body: new URLSearchParams({ number: "4242424242424242" }) });
        await paid.arrayBuffer();
      }),
    ]);
    await app.settle();
    const ends: Record<string, number> = {};
    for (const { ada, sku, placed } of all) {
      await ada.login();
      const { status } = (await ada.expect(200, "GET", `/v1/orders/${placed.id}`)).body;
      const payment = (await ada.expect(200, "GET", `/v1/payments/${placed.payment.id}`)).body;
      const kept = status === "PAID";
      assert.ok(kept || status === "CANCELLED", status);
      assert.equal(payment.status, kept ? "CAPTURED" : "CLOSED");
      assert.deepEqual(await stock(sku), kept ? { onHand: 3, reserved: 0 } : { onHand: 5, reserved: 0 });
      ends[status] = (ends[status] ?? 0) + 1;
    }
    t.diagnostic(JSON.stringify(ends));
  });

  it("ID-08 ID-09: a code is good for ten minutes, and another comes after one at the earliest", async () => {
    const register = async (): Promise<Shopper> => {
      const shopper = new Shopper(places);
      await shopper.expect(201, "POST", "/v1/register", {
        json: { email: shopper.email, password: shopper.password, name: "Ada Shopper" },
      });
      await app.settle();
      return shopper;
    };
    const codeOf = async (shopper: Shopper): Promise<string | undefined> =>
      /[0-9A-Z]{5}-[0-9A-Z]{5}/.exec((await shopper.inbox())[0]!.text)?.[0];
    const verifyWith = async (shopper: Shopper) =>
      shopper.call("POST", "/v1/register/verify", { json: { email: shopper.email, code: await codeOf(shopper) } });

    const [ada, eve] = [await register(), await register()];
    await pass(59_000);
    const soon = await ada.call("POST", "/v1/register/resend", { json: { email: ada.email } });
    assert.equal(soon.status, 429);
    assert.ok(Number(soon.headers.get("retry-after")) >= 1);
    await pass(2_000);
    await ada.expect(202, "POST", "/v1/register/resend", { json: { email: ada.email } });
    await app.settle();
    assert.equal((await ada.inbox()).length, 2);
    // Eve's code is a minute older than Ada's second.
    await pass(9 * minuteMs);
    const late = await verifyWith(eve);
    assert.deepEqual([late.status, late.body.reason], [409, "CODE_EXPIRED"]);
    assert.equal((await verifyWith(ada)).status, 200);
  });

  it("CON-05: every invariant holds, and nothing failed on the way", async () => {
    await app.settle();
    const findings = await verify(app.databases, { running: true, now: () => clock.now() });
    assert.deepEqual(
      findings.filter(({ broken }) => broken > 0),
      [],
    );
    assert.deepEqual(
      lines.filter((line) => line.includes('"level":"error"')),
      [],
    );
  });
});
