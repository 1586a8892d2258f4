import assert from "node:assert/strict";
import { randomInt, randomUUID } from "node:crypto";
import { before, describe, it } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { sql } from "@kontor/platform/database/sql.ts";
import { asOperator } from "./operator.ts";
import type { Operator } from "./operator.ts";
import { openProviderControl } from "./provider-control.ts";
import type { ProviderControl } from "./provider-control.ts";
import { startShop } from "./shop-process.ts";
import type { ShopProcess } from "./shop-process.ts";
import { startTimeout, suiteTimeoutMs } from "./topologies.ts";
import type { Topology } from "./topologies.ts";
import type { Answer, Shopper } from "./shopper.ts";

const count = (name: string, small: number): number => Number(process.env[name] ?? small);
/** R1: buyers of the one unit, and how often. */
const buyers = count("KONTOR_BUYERS", 40);
const lastUnits = count("KONTOR_LAST_UNITS", 5);
/** R5 and R6, R7: how many orders. */
const checkouts = count("KONTOR_CHECKOUTS", 20);
const payments = count("KONTOR_PAYMENTS", 20);
const shoppersCount = 10;

/** Many at once, and everything twice. */
export function races(topology: Topology): void {
  describe(`many at once: ${topology.name}`, { timeout: suiteTimeoutMs }, () => {
    let shop: ShopProcess;
    let control: ProviderControl;
    let shoppers: readonly Shopper[];

    before(async () => {
      shop = await startShop({}, topology);
      control = await openProviderControl(shop);
      shoppers = await keep((operator) => operator.shoppers(shop, shoppersCount));
    }, startTimeout);

    const keep = <T>(work: (operator: Operator) => Promise<T>): Promise<T> => asOperator(shop.environment, work);
    const someone = (nth: number): Shopper => shoppers[nth % shoppersCount]!;
    const stockOf = (sku: string) =>
      keep(({ app }) =>
        app.databases
          .get("inventory")!
          .one<{ on_hand: number; reserved: number }>(sql`select on_hand, reserved from stock where sku = ${sku}`),
      );

    it(`R1 R4 INV-05: ${buyers} checkouts at once for the last unit, ${lastUnits} times: one gets it, the others are refused with that reason`, async () => {
      const skus = await keep((operator) => operator.products(Array.from({ length: lastUnits }, () => 1)));
      for (const sku of skus) {
        const carts = await Promise.all(
          Array.from(
            { length: buyers },
            async (_, nth) =>
              (await someone(nth).expect(201, "POST", "/v1/carts", { json: { currency: "EUR", lines: [{ sku, quantity: 1 }] } })).body.id,
          ),
        );
        const answers = await Promise.all(
          carts.map((cart, nth) => patiently(() => someone(nth).call("POST", "/v1/orders", { json: { cart }, key: `${sku}-${nth}` }))),
        );
        const placed = answers.filter(({ status }) => status === 201);
        assert.equal(placed.length, 1, "one order");
        for (const answer of answers)
          if (answer.status !== 201) {
            assert.deepEqual([answer.status, answer.body.reason], [409, "OUT_OF_STOCK"], answer.text);
            assert.deepEqual(answer.body.details.lines, [{ sku, asked: 1, available: 0 }], answer.text);
          }
      }
    });

    it("R3 INV-05 INV-04: carts of several things in any order, 100 at once for 60 units: as many are sold as are ordered and in stock", async () => {
      const skus = await keep((operator) => operator.products([30, 20, 10]));
      const answers = await Promise.all(
        Array.from({ length: 100 }, async (_, nth) => {
          const wanted = skus.toSorted(() => randomInt(3) - 1).slice(0, 1 + randomInt(3));
          // The same thing may stand in two lines.
          const lines = [...wanted, wanted[0]!].slice(0, 1 + randomInt(wanted.length + 1)).map((sku) => ({ sku, quantity: 1 }));
          const answer = await patiently(() =>
            someone(nth).call("POST", "/v1/orders", { json: { currency: "EUR", lines }, key: `r3-${nth}` }),
          );
          assert.ok(answer.status === 201 || answer.body.reason === "OUT_OF_STOCK", answer.text);
          return answer;
        }),
      );
      const sold = new Map<string, number>();
      for (const { status, body } of answers)
        if (status === 201) for (const { sku, quantity } of body.lines) sold.set(sku, (sold.get(sku) ?? 0) + quantity);
      for (const [nth, sku] of skus.entries()) {
        const stock = await stockOf(sku);
        assert.deepEqual([stock.on_hand, stock.reserved], [[30, 20, 10][nth], sold.get(sku) ?? 0]);
      }
      assert.ok(
        answers.some(({ status }) => status === 409),
        "there were not enough for all",
      );
    });

    it(`R5 ORD-04 S12: ${checkouts} checkouts, each sent five times at once with one key: one order, the same bytes; another body is refused`, async () => {
      const [sku] = (await keep((operator) => operator.products([10_000]))) as [string];
      const lines = [{ sku, quantity: 1 }];
      const orders = new Set<string>();
      await Promise.all(
        Array.from({ length: checkouts }, async (_, nth) => {
          const key = randomUUID();
          const cart = (await someone(nth).expect(201, "POST", "/v1/carts", { json: { currency: "EUR", lines } })).body.id;
          // Half by their cart, half by lines, which have nothing but the key to be known by.
          const json = nth % 2 === 0 ? { cart } : { currency: "EUR", lines };
          const send = () => patiently(() => someone(nth).call("POST", "/v1/orders", { json, key }));
          const answers = await Promise.all(Array.from({ length: 5 }, send));
          answers.push(await send());
          assert.deepEqual([...new Set(answers.map(({ status }) => status))], [201], answers.map(({ text }) => text).join());
          assert.equal(new Set(answers.map(({ text }) => text)).size, 1, "the same bytes");
          assert.equal(new Set(answers.map(({ headers }) => headers.get("location"))).size, 1);
          orders.add(answers[0]!.body.id);
          const reused = await someone(nth).call("POST", "/v1/orders", { json: { currency: "EUR", lines: [{ sku, quantity: 2 }] }, key });
          assert.deepEqual([reused.status, reused.body.reason], [422, "IDEMPOTENCY_KEY_REUSED"]);
        }),
      );
      assert.equal(orders.size, checkouts);
      assert.equal((await stockOf(sku)).reserved, checkouts);
    });

    it(`R6 PAY-06: ${payments} payments, each paid twice, completed thrice with 0 to 5 webhooks, all at once: one charge, one order`, async () => {
      const [sku] = (await keep((operator) => operator.products([10_000]))) as [string];
      const paid = await Promise.all(
        Array.from({ length: payments }, async (_, nth) => {
          const ada = someone(nth);
          const { body: order } = await ada.order([{ sku, quantity: 1 }]);
          const page = await patiently(() => ada.call("GET", order.payment.url));
          assert.equal(page.status, 303, page.text);
          return { ada, order, page: page.headers.get("location")! };
        }),
      );
      for (const { ada, order, page } of paid) {
        await control.faults({ webhook: { next: 1, times: randomInt(6) }, reset: { next: 1, on: [randomInt(2) === 0 ? "read" : "pay"] } });
        const soon = async (work: () => Promise<unknown>): Promise<void> => {
          await pause(randomInt(12));
          await work();
        };
        const pay = () =>
          fetch(page, { method: "POST", redirect: "manual", body: new URLSearchParams({ number: "4242424242424242" }) })
            .then((response) => response.arrayBuffer())
            .catch((error: unknown) => {
              // The fault that was asked for: done, and the answer lost.
              if (!(error instanceof TypeError)) throw error;
            });
        const complete = () => patiently(() => ada.call("POST", `/v1/payments/${order.payment.id}/complete`, { json: {} }));
        const comeBack = () => patiently(() => ada.call("GET", `${order.payment.url}/done`));
        const again = () => patiently(() => ada.call("POST", `/v1/payments/${order.payment.id}/attempts`, { json: {}, key: randomUUID() }));
        await Promise.all([pay, pay, complete, complete, complete, comeBack, comeBack, again].map(soon));
        await complete();
      }
      await control.faults({});
      const charges = await control.charges();
      for (const { ada, order } of paid) {
        const { body } = await ada.until(order.id, "PAID");
        assert.equal(body.history.length, 2, "PAID once");
        assert.equal(charges.filter(({ reference }) => reference === order.payment.id).length, 1, "charged once");
        const { body: payment } = await ada.expect(200, "GET", `/v1/payments/${order.payment.id}`);
        assert.deepEqual([payment.status, payment.captured], ["CAPTURED", order.total]);
      }
    });

    it("RES-02 PAY-02: an attempt whose response is lost is not repeated without the shopper, and the next try continues the same attempt", async () => {
      const [sku] = (await keep((operator) => operator.products([10]))) as [string];
      for (const fault of ["error", "reset"] as const) {
        const { body: order } = await someone(0).order([{ sku, quantity: 1 }]);
        await control.faults({ [fault]: { next: 2, on: ["open"] } });
        const lost = await someone(0).call("GET", order.payment.url);
        assert.deepEqual([lost.status, lost.body.reason], [503, "DEPENDENCY_UNAVAILABLE"], lost.text);
        assert.ok(Number(lost.headers.get("retry-after")) >= 1);
        assert.deepEqual(await control.left(), { [fault]: { next: 1, on: ["open"] } }, "the provider was called once");
        await control.faults({});
        await someone(0).pay(order.payment.url);
        await someone(0).until(order.id, "PAID");
        const { body: payment } = await someone(0).expect(200, "GET", `/v1/payments/${order.payment.id}`);
        assert.deepEqual(
          payment.attempts.map(({ status }: { status: string }) => status),
          ["SUCCEEDED"],
        );
      }
    });

    it(`R7 PAY-02 I11: the provider fails, loses responses and stalls, and ${payments} orders are paid, or cancelled, all the same`, async () => {
      const [sku] = (await keep((operator) => operator.products([10_000]))) as [string];
      const usual = ["open", "read", "close", "refund"] as const;
      await control.faults({
        error: { probability: 0.15, on: [...usual] },
        reset: { probability: 0.15, on: [...usual, "pay"] },
        stall: { probability: 0.05, ms: 1_000, on: [...usual] },
        webhook: { probability: 0.3, times: 0 },
      });
      const ended = await Promise.all(
        Array.from({ length: payments }, async (_, nth) => {
          const ada = someone(nth);
          const { body: order } = await ada.order([{ sku, quantity: 1 }]);
          const opened = await patiently(() => ada.call("GET", order.payment.url));
          assert.equal(opened.status, 303, opened.text);
          const cancels = nth % 4 === 0;
          const number = nth % 5 === 0 ? "4000000000000002" : "4242424242424242";
          const pay = fetch(opened.headers.get("location")!, { method: "POST", redirect: "manual", body: new URLSearchParams({ number }) })
            .then((response) => response.arrayBuffer())
            .catch((error: unknown) => {
              if (!(error instanceof TypeError)) throw error;
            });
          const cancel = cancels
            ? patiently(() => ada.call("POST", `/v1/orders/${order.id}/cancel`, { json: {}, key: randomUUID() }))
            : undefined;
          await Promise.all([pay, cancel]);
          // A shopper whose page did not come looks again.
          for (let looks = 0; looks < 6; looks++) await ada.call("GET", `${order.payment.url}/done`);
          return { ada, order, expected: cancels ? "CANCELLED" : number.endsWith("2") && !number.startsWith("4242") ? "PENDING" : "PAID" };
        }),
      );
      await control.faults({});
      for (const { ada, order, expected } of ended) {
        if (expected === "PAID") await patiently(() => ada.call("POST", `/v1/payments/${order.payment.id}/complete`, { json: {} }));
        const { body } = await ada.until(order.id, expected);
        const { body: payment } = await ada.expect(200, "GET", `/v1/payments/${order.payment.id}`);
        const possible = { PAID: ["CAPTURED"], CANCELLED: ["CLOSED", "REFUNDED"], PENDING: ["OPEN"] }[expected]!;
        assert.ok(possible.includes(payment.status), `${body.status} and ${payment.status}`);
      }
    });

    it("CON-05 I1 I2 I3 I4 I6: every invariant holds", async () => {
      const { code, output } = await shop.run(["verify"]);
      assert.equal(code, 0, output);
    });
  });
}

/** As a good client does: 503 means again, with the same key, after a while. */
async function patiently(ask: () => Promise<Answer>): Promise<Answer> {
  for (let tries = 1; ; tries++) {
    const answer = await ask();
    const again = answer.status === 503 || answer.status === 504 || answer.headers.has("retry-after");
    if (!again || tries === 40) return answer;
    await pause(50 + randomInt(50));
  }
}
