import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { before, describe, it } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { openObserver } from "./observer.ts";
import type { Observer } from "./observer.ts";
import { openProviderControl } from "./provider-control.ts";
import type { ProviderControl } from "./provider-control.ts";
import { openShopWithData } from "./shop-with-data.ts";
import type { ShopWithData } from "./shop-with-data.ts";
import type { Answer, Shopper } from "./shopper.ts";
import { oneProcess, suiteTimeoutMs } from "./topologies.ts";
import type { Topology } from "./topologies.ts";

const limitMs = 1_000;
/** What the response may take beyond the limit, on a machine that is busy with other tests. */
const lateMs = 700;
/** Where the gateway and identity share no cache, each request's session is checked before its limit begins: for at most so long. */
const sessionCheckMs = 1_000;

/** No request to the gateway takes longer than its limit, whichever service or provider does not respond. */
export function deadlines(topology: Topology): void {
  describe(`a shop whose requests may take a second: ${topology.name}`, { timeout: suiteTimeoutMs }, () => {
    let fixture: ShopWithData;
    let observer: Observer;
    let control: ProviderControl;

    before(async () => {
      fixture = await openShopWithData({ env: { KONTOR_REQUEST_TIMEOUT: "1s" }, topology });
      observer = await openObserver(fixture.shop);
      control = await openProviderControl(fixture.shop);
    });

    /** The response, which must come in time. */
    async function inTime(response: Promise<Answer>, allowedMs = limitMs): Promise<Answer> {
      const startMs = performance.now();
      const received = await response;
      const ms = performance.now() - startMs;
      assert.ok(ms < allowedMs + lateMs, `${received.status} after ${Math.round(ms)} ms`);
      return received;
    }

    async function until(condition: () => Promise<boolean>): Promise<void> {
      while (!(await condition())) await pause(20);
    }

    it("GW-13 RES-03: a service that waits for its database is 504 in time, each of them, and right again afterwards", async () => {
      const { cart, payment } = fixture.ids;
      const allowedMs = topology === oneProcess ? limitMs : limitMs + sessionCheckMs;
      const slow: readonly (readonly [service: string, who: Shopper, path: string, status: number])[] = [
        ["identity", fixture.ada, "/v1/me", 200],
        ["catalog", fixture.ada, "/v1/categories", 200],
        ["inventory", fixture.admin, "/v1/stock", 200],
        ["carts", fixture.ada, `/v1/carts/${cart}`, 200],
        ["checkout", fixture.ada, "/v1/checkouts/chk_none", 404],
        ["orders", fixture.ada, "/v1/orders", 200],
        ["payments", fixture.ada, `/v1/payments/${payment}`, 200],
        ["notifications", fixture.ada, "/v1/notifications", 200],
      ];
      await Promise.all(
        slow.map(async ([service, who, path, status]) => {
          const unlock = await observer.lock(service);
          const late = await inTime(who.call("GET", path), allowedMs);
          assert.deepEqual([late.status, late.body.reason], [504, "DEADLINE_EXCEEDED"], `${service}: ${late.text}`);
          await unlock();
          await who.expect(status, "GET", path);
        }),
      );
    });

    it("RES-03: a checkout that takes too long is 202 in time, and goes on to its order under a deadline of its own", async () => {
      const unlock = await observer.lock("inventory");
      const key = randomUUID();
      const json = { currency: "EUR", lines: [{ sku: fixture.ids["sku"], quantity: 1 }] };
      const accepted = await inTime(fixture.ada.call("POST", "/v1/orders", { json, key }));
      assert.equal(accepted.status, 202, accepted.text);
      const location = accepted.headers.get("location")!;
      assert.equal(location, `/v1/checkouts/${accepted.body.id}`);
      assert.equal((await fixture.ada.expect(200, "GET", location)).body.status, "RUNNING");
      await fixture.eve.expect(404, "GET", location);
      await unlock();
      await until(async () => (await fixture.ada.expect(200, "GET", location)).body.status !== "RUNNING");
      const { body: ended } = await fixture.ada.expect(200, "GET", location);
      assert.equal(ended.status, "PLACED", JSON.stringify(ended));
      const again = await fixture.ada.expect(201, "POST", "/v1/orders", { json, key });
      assert.equal(again.body.id, ended.order.id);
    });

    it("RES-03: a checkout that is refused after its request has ended says so at its address, with the problem", async () => {
      const unlock = await observer.lock("inventory");
      const json = { currency: "EUR", lines: [{ sku: fixture.ids["sku"], quantity: 9_999 }] };
      const key = randomUUID();
      const accepted = await inTime(fixture.ada.call("POST", "/v1/orders", { json, key }));
      assert.equal(accepted.status, 202, accepted.text);
      await unlock();
      const location = accepted.headers.get("location")!;
      await until(async () => (await fixture.ada.expect(200, "GET", location)).body.status !== "RUNNING");
      const { body } = await fixture.ada.expect(200, "GET", location);
      assert.deepEqual([body.status, body.problem.reason], ["REFUSED", "OUT_OF_STOCK"]);
      assert.equal((await fixture.ada.call("POST", "/v1/orders", { json, key })).body.reason, "OUT_OF_STOCK");
    });

    it("RES-03: what ended with 504 is not begun afterwards: a cart that was locked stays as it was", async () => {
      const { body: cart } = await fixture.ada.expect(201, "POST", "/v1/carts", { json: { currency: "EUR" } });
      const unlock = await observer.lock("carts");
      const late = await inTime(fixture.ada.call("POST", `/v1/carts/${cart.id}/lines`, { json: { sku: fixture.ids["sku"], quantity: 1 } }));
      assert.equal(late.status, 504, late.text);
      await unlock();
      await until(async () => (await observer.statements("carts")) === 0);
      assert.deepEqual((await fixture.ada.expect(200, "GET", `/v1/carts/${cart.id}`)).body.lines, []);
    });

    it("RES-03 GW-13 PAY-02: a provider that does not respond is not waited for beyond the limit, nothing is charged, and the same try goes on later", async () => {
      const { body: order } = await fixture.ada.order([{ sku: fixture.ids["sku"]!, quantity: 1 }]);
      const stall = { stall: { next: 1, ms: 3_000, on: ["open"] } } as const;
      await control.faults(stall);
      const page = await inTime(fixture.ada.call("GET", order.payment.url));
      assert.deepEqual([page.status, page.body.reason], [504, "DEADLINE_EXCEEDED"], page.text);
      await control.faults({});
      const paid = await fixture.ada.pay(order.payment.url);
      assert.equal(paid.status, 303);
      await fixture.ada.until(order.id, "PAID");
      assert.equal(attemptsOf(await payment(fixture.ada, order)), "SUCCEEDED");
    });

    it("RES-03 RES-06: no request waits for a provider beyond its limit, and what does not need the provider works", async () => {
      const { body: order } = await fixture.ada.order([{ sku: fixture.ids["sku"]!, quantity: 1 }]);
      const page = await fixture.ada.call("GET", order.payment.url);
      assert.equal(page.status, 303);
      await control.faults({ stall: { next: 1_000, ms: 20_000 } });
      const complete = await inTime(fixture.ada.call("POST", `/v1/payments/${order.payment.id}/complete`, { json: {} }));
      assert.ok([503, 504].includes(complete.status), complete.text);
      const back = await inTime(fixture.ada.call("GET", `${order.payment.url}/done`));
      assert.equal(back.status, 200, "who comes back sees a page");
      const cancel = await inTime(fixture.ada.call("POST", `/v1/orders/${order.id}/cancel`, { json: {} }));
      assert.deepEqual(
        [cancel.status, cancel.body.status, cancel.body.cancelling],
        [200, "PENDING", true],
        `the provider decides, not the time-out: ${cancel.text}`,
      );
      const another = await inTime(fixture.ada.order([{ sku: fixture.ids["sku"]!, quantity: 1 }]));
      assert.equal(another.status, 201, "ordering needs no provider");
      await control.faults({});
      const cancelled = await fixture.ada.expect(200, "POST", `/v1/orders/${order.id}/cancel`, { json: {} });
      assert.equal(cancelled.body.status, "CANCELLED");
      assert.equal(attemptsOf(await payment(fixture.ada, order)), "ABANDONED");
    });

    it("CON-05 I11: every invariant holds", async () => {
      const { code, output } = await fixture.shop.run(["verify"]);
      assert.equal(code, 0, output);
    });
  });
}

async function payment(who: Shopper, order: { readonly payment: { readonly id: string } }): Promise<Answer["body"]> {
  return (await who.expect(200, "GET", `/v1/payments/${order.payment.id}`)).body;
}

function attemptsOf({ attempts }: Answer["body"]): string {
  return attempts.map(({ status }: { status: string }) => status).join();
}
