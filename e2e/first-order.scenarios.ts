import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { before, describe, it } from "node:test";
import { findText } from "./find-text.ts";
import { asOperator } from "./operator.ts";
import { startShop } from "./shop-process.ts";
import type { ShopProcess } from "./shop-process.ts";
import { startTimeout, suiteTimeoutMs } from "./topologies.ts";
import type { Topology } from "./topologies.ts";
import { readEvents, watch } from "./server-sent-events.ts";
import { Shopper } from "./shopper.ts";

/** A shopper's path from registration to the confirmation mail, as the README shows it. */
export function firstOrder(topology: Topology): void {
  describe(`a first order, as the README shows it: ${topology.name}`, { timeout: suiteTimeoutMs }, () => {
    let shop: ShopProcess;
    let ada: Shopper;
    let sku = "";

    before(async () => {
      shop = await startShop({ KONTOR_SEED: "demo" }, topology);
      ada = await new Shopper(shop).join();
      const { body } = await ada.expect(200, "GET", "/v1/products?limit=5");
      sku = body.items[0].variants[0].sku;
    }, startTimeout);

    it("TST-06 TST-05 API-11 ID-07 SCA-05: register, browse, order, pay, and the confirmation mail comes", async () => {
      const found = await ada.expect(200, "GET", `/v1/products?q=${encodeURIComponent("coffee")}`);
      assert.ok(found.body.items.length > 0, "the demo catalogue has coffee");
      const placed = await ada.order([{ sku, quantity: 2 }]);
      assert.equal(placed.status, 201);
      assert.equal(placed.body.status, "PENDING");
      assert.equal(placed.headers.get("location"), `/v1/orders/${placed.body.id}`);
      const paid = await ada.pay(placed.body.payment.url);
      assert.equal(paid.status, 303);
      assert.ok(paid.headers.get("location")!.startsWith(`${shop.api.replace("127.0.0.1", "localhost")}/pay/`));
      const order = await ada.until(placed.body.id, "PAID");
      assert.deepEqual(
        order.body.history.map(({ status }: { status: string }) => status),
        ["PENDING", "PAID"],
      );
      assert.equal(order.body.payment.url, undefined);
      const mails = await ada.mails(2);
      assert.equal(mails.length, 2);
      assert.match(mails[0]!.subject, new RegExp(order.body.id));
    });

    it("ORD-04 CART-03 R5: the same key gives the same bytes, another key the same order, another body a refusal", async () => {
      const cart = await ada.expect(201, "POST", "/v1/carts", { json: { currency: "EUR", lines: [{ sku, quantity: 1 }] } });
      const key = randomUUID();
      const responses = await Promise.all(
        Array.from({ length: 5 }, () => ada.call("POST", "/v1/orders", { json: { cart: cart.body.id }, key })),
      );
      assert.deepEqual(new Set(responses.map(({ status }) => status)), new Set([201]));
      assert.equal(new Set(responses.map(({ text }) => text)).size, 1);
      const other = await ada.expect(201, "POST", "/orders", { json: { cart: cart.body.id }, key: randomUUID() });
      assert.equal(other.body.id, responses[0]!.body.id);
      const reused = await ada.expect(422, "POST", "/v1/orders", { json: { lines: [{ sku, quantity: 1 }], currency: "EUR" }, key });
      assert.equal(reused.body.reason, "IDEMPOTENCY_KEY_REUSED");
      await ada.expect(400, "POST", "/v1/orders", { json: { cart: cart.body.id } });
    });

    it("PAY-02: a declined card, and then one that is good", async () => {
      const { body: order } = await ada.order([{ sku, quantity: 1 }]);
      const declined = await ada.pay(order.payment.url, "4000000000000002");
      assert.equal(declined.status, 303);
      const page = await ada.call("GET", declined.headers.get("location")!);
      assert.equal(page.status, 200);
      assert.match(page.body, /declined/i);
      await ada.pay(order.payment.url);
      const paid = await ada.until(order.id, "PAID");
      const payment = await ada.expect(200, "GET", `/v1/payments/${paid.body.payment.id}`);
      assert.deepEqual(
        payment.body.attempts.map(({ status }: { status: string }) => status),
        ["DECLINED", "SUCCEEDED"],
      );
    });

    it("PAY-06 R6: a duplicate callback pays once, and for one that never comes the shopper's return queries the provider", async () => {
      for (const card of ["4000000000000259", "4000000000000341"]) {
        const { body: order } = await ada.order([{ sku, quantity: 1 }]);
        const paid = await ada.pay(order.payment.url, card);
        await ada.expect(200, "GET", paid.headers.get("location")!);
        const { body } = await ada.until(order.id, "PAID");
        assert.equal(body.history.length, 2);
      }
    });

    it("ORD-16 PAY-04: an order is cancelled before it is paid, and after with its refund", async () => {
      const { body: unpaid } = await ada.order([{ sku, quantity: 1 }]);
      const cancelled = await ada.expect(200, "POST", `/v1/orders/${unpaid.id}/cancel`, { json: {} });
      assert.equal(cancelled.body.status, "CANCELLED");
      const { body: order } = await ada.order([{ sku, quantity: 1 }]);
      await ada.pay(order.payment.url);
      await ada.until(order.id, "PAID");
      await ada.expect(200, "POST", `/v1/orders/${order.id}/cancel`, { json: {} });
      await ada.until(order.id, "CANCELLED");
      const payment = await ada.expect(200, "GET", `/v1/payments/${order.payment.id}`);
      assert.equal(payment.body.status, "REFUNDED");
      assert.deepEqual(payment.body.refunded, order.total);
    });

    it("ID-14: to others an order, its payment and a taken cart are not there", async () => {
      const eve = await new Shopper(shop).join();
      const { body: order } = await ada.order([{ sku, quantity: 1 }]);
      const cart = await ada.expect(201, "POST", "/v1/carts", { json: { currency: "EUR", lines: [] } });
      for (const path of [
        `/v1/orders/${order.id}`,
        `/v1/orders/${order.id}/history`,
        `/v1/payments/${order.payment.id}`,
        `/v1/carts/${cart.body.id}`,
      ])
        await eve.expect(404, "GET", path);
      await eve.expect(404, "POST", `/v1/orders/${order.id}/cancel`, { json: {} });
      await eve.expect(404, "POST", `/v1/payments/${order.payment.id}/attempts`, { json: {}, key: randomUUID() });
      await eve.expect(404, "POST", `/v1/orders`, { json: { cart: cart.body.id }, key: randomUUID() });
      assert.equal((await eve.expect(200, "GET", "/v1/orders")).body.items.length, 0);
    });

    it("OBS-01: every line that the shop has printed is JSON with its keys", () => {
      assert.ok(shop.lines.length > 10);
      for (const line of shop.lines) {
        const entry = JSON.parse(line) as Record<string, unknown>;
        for (const key of ["time", "level", "service", "message"]) assert.equal(typeof entry[key], "string", line);
      }
    });

    it("SEC-06 PAY-01 ID-03: what is a secret or about a person is in no log, event, task or stored response, a card's number nowhere", async () => {
      const cart = await ada.expect(201, "POST", "/v1/carts", { json: { currency: "EUR", lines: [{ sku, quantity: 1 }] } });
      const { body: order } = await ada.order([{ sku, quantity: 1 }]);
      const paymentSecret = new URL(order.payment.url).pathname.split("/").at(-1)!;
      await ada.pay(order.payment.url);
      await ada.until(order.id, "PAID");
      const nowhere = {
        "the password": ada.password,
        "the code": ada.code!,
        "the token": ada.token!,
        "a card": "4242424242424242",
        "a cart": cart.body.id,
      };
      const rarely = { "the address": ada.email, "the name": "Ada Shopper", "the payment's secret": paymentSecret };
      const logged = shop.lines.join("\n").toLowerCase();
      for (const [what, text] of Object.entries({ ...nowhere, ...rarely }))
        assert.ok(!logged.includes(text.toLowerCase()), `${what} is logged`);

      const found = await asOperator(shop.environment, ({ app }) => findText(app.databases, { ...nowhere, ...rarely }));
      const where = (what: string) =>
        found
          .filter((one) => one.what === what)
          .map(({ table }) => table)
          .toSorted();
      // The mailbox is no part of the shop: its mails have left it. Their content is encoded.
      assert.deepEqual(
        Object.keys(nowhere).map((what) => [what, where(what).filter((table) => table !== "mailbox.mails")]),
        Object.keys(nowhere).map((what) => [what, []]),
      );
      assert.deepEqual(where("the address"), ["identity.accounts", "mailbox.mails"]);
      assert.deepEqual(where("the name"), ["identity.accounts"]);
      for (const table of where("the payment's secret")) assert.doesNotMatch(table, /\.(events|tasks)$/);
    });

    it("NTF-08 ORD-06 API-04: a watch of an order sends each change at once, in order, and continues where the connection broke", async () => {
      const { body: order } = await ada.order([{ sku, quantity: 1 }]);
      const watching = await watch(ada, order.id);
      assert.equal(watching.status, 200);
      assert.equal(watching.headers.get("content-type"), "text/event-stream");
      const events = readEvents(watching);
      const first = (await events.next()).value!;
      assert.deepEqual([first.id, first.data.status], ["1", "PENDING"]);
      await ada.pay(order.payment.url);
      const paid = (await events.next()).value!;
      const receivedMs = Date.now();
      assert.deepEqual([paid.id, paid.data.status], ["2", "PAID"]);
      assert.ok(receivedMs - Date.parse(paid.data.at) < 1_000, "within a second of the change");
      await events.return(undefined);
      await ada.expect(200, "POST", `/v1/orders/${order.id}/cancel`, { json: {} });
      const again = readEvents(await watch(ada, order.id, "2"));
      const later = await Array.fromAsync(again);
      assert.equal(later.at(-1)!.data.status, "CANCELLED");
      assert.ok(later.every(({ id }) => Number(id) > 2));
      const over = await watch(ada, order.id, later.at(-1)!.id);
      assert.equal(over.status, 204, "a browser does not connect again to an order that changes no more");
    });

    it("ORD-06 PAY-03: a read that prefers to wait gets the next change when it comes, and 304 when the time is over", async () => {
      const wait = { Prefer: "wait=10" };
      const { body: order } = await ada.order([{ sku, quantity: 1 }]);
      const [orderPath, paymentPath] = [`/v1/orders/${order.id}`, `/v1/payments/${order.payment.id}`];
      const unpaid = await ada.expect(200, "GET", orderPath);
      const etag = unpaid.headers.get("etag")!;
      const over = await ada.expect(304, "GET", orderPath, { headers: { Prefer: "wait=1", "If-None-Match": etag } });
      assert.equal(over.headers.get("preference-applied"), "wait=1");
      const waiting = [
        ada.call("GET", orderPath, { headers: wait }),
        ada.call("GET", orderPath, { headers: { ...wait, "If-None-Match": etag } }),
      ];
      await ada.pay(order.payment.url);
      for (const paid of [...(await Promise.all(waiting)), await ada.expect(200, "GET", orderPath, { headers: wait })])
        assert.deepEqual([paid.status, paid.body.status, paid.headers.get("preference-applied")], [200, "PAID", "wait=10"]);
      const captured = await ada.expect(200, "GET", paymentPath, { headers: wait });
      assert.equal(captured.body.status, "CAPTURED");
      const known = { ...wait, "If-None-Match": captured.headers.get("etag")! };
      const refunding = ada.expect(200, "GET", paymentPath, { headers: known });
      await ada.expect(200, "POST", `/v1/orders/${order.id}/cancel`, { json: {} });
      assert.ok((await refunding).body.version > captured.body.version);
      await ada.expect(404, "GET", "/v1/checkouts/chk_none", { headers: wait });
      const ignored = await ada.expect(200, "GET", orderPath, { headers: { Prefer: "wait=soon, respond-async" } });
      assert.equal(ignored.headers.get("preference-applied"), null);
    });

    it("S11 ORD-06: after a sign-out a stream that was open ends, and a wait that had begun delivers nothing", async () => {
      const eve = await new Shopper(shop).join();
      const { body: order } = await eve.order([{ sku, quantity: 1 }]);
      const events = readEvents(await watch(eve, order.id));
      assert.equal((await events.next()).value!.data.status, "PENDING");
      const waiting = eve.call("GET", `/v1/orders/${order.id}`, { headers: { Prefer: "wait=10" } });
      await eve.expect(204, "POST", "/v1/logout");
      await eve.pay(order.payment.url);
      await assert.rejects(Array.fromAsync(events), /"reason":"UNAUTHENTICATED"/);
      assert.equal((await waiting).status, 401);
      await eve.login();
      await eve.until(order.id, "PAID");
    });

    it("ID-01 S10 S11: who registers somebody else's address gets nothing; the owner gets a link, by which all sessions end", async () => {
      // Made by an operator, so that no mail has gone to the address within the last minute.
      const [bea] = await asOperator(shop.environment, (operator) => operator.shoppers(shop, 1));
      const { email, password, token } = bea!;
      const json = { email: ` ${email.toUpperCase()}`, password: "mallory's password", name: "Win at https://evil.example" };
      const { body } = await bea!.expect(201, "POST", "/v1/register", { json });
      assert.equal(body.status, "UNVERIFIED");
      const [mail] = await bea!.mails(1);
      assert.equal(mail!.subject, "You have an account at Kontor");
      const url = /http\S+\/password\/reset\/\S+/.exec(mail!.text)![0];
      assert.match((await bea!.expect(200, "GET", new URL(url).pathname)).text, /<form method="post">/);
      const form = new URLSearchParams({ password: "another one" });
      const changed = await fetch(shop.api + new URL(url).pathname, { method: "POST", body: form });
      assert.match(await changed.text(), /Your password is changed/);
      await bea!.expect(401, "GET", "/v1/me");
      for (const wrong of [password, json.password]) await bea!.expect(401, "POST", "/v1/login", { json: { email, password: wrong } });
      bea!.password = "another one";
      await bea!.login();
      assert.notEqual(bea!.token, token);
      const other = Object.assign(new Shopper(shop), { email, password: bea!.password });
      await other.login();
      await bea!.expect(204, "POST", "/v1/password/change", { json: { currentPassword: "another one", newPassword: "a third one" } });
      await other.expect(401, "GET", "/v1/me");
      await bea!.expect(200, "GET", "/v1/me");
    });

    it("CAT-11 CAT-07: what is ordered is soon not available any more in the catalogue", async () => {
      const listed = async () => (await ada.expect(200, "GET", "/v1/products?limit=5")).body.items;
      // Of something that nothing else happens to.
      const [other] = (await listed())[1].variants;
      const available = async (): Promise<number> =>
        (await listed())
          .flatMap(({ variants }: { variants: unknown[] }) => variants)
          .find(({ sku: one }: { sku: string }) => one === other.sku).available;
      const before = await available();
      assert.equal((await ada.order([{ sku: other.sku, quantity: 3 }])).status, 201);
      const untilMs = Date.now() + 10_000;
      while ((await available()) !== before - 3) {
        assert.ok(Date.now() < untilMs, "the catalogue's copy of the stock did not follow");
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    });

    it("CON-05 MSG-09: every invariant holds", async () => {
      const { code, output } = await shop.run(["verify"]);
      assert.equal(code, 0, output);
    });

    it("RES-08: on SIGTERM it exits with 0, and who waits gets a response", async () => {
      const { body: order } = await ada.order([{ sku, quantity: 1 }]);
      const etag = (await ada.expect(200, "GET", `/v1/orders/${order.id}`)).headers.get("etag")!;
      const sent = ada.call("GET", `/v1/orders/${order.id}`, { headers: { Prefer: "wait=10", "If-None-Match": etag } });
      // Another request on its own connection has been responded to since: this one waits.
      await ada.expect(200, "GET", `/v1/orders/${order.id}`);
      assert.equal(await shop.stop(), 0);
      // Where its service has stopped first, it is told to come again.
      assert.ok([304, 503].includes((await sent).status));
    });
  });
}
