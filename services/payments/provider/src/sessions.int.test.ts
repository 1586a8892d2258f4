import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { openTestProvider } from "./test-provider.ts";

describe("provider: sessions", { concurrency: true }, () => {
  it("opens once per key, and gives the existing session to a repeat", async () => {
    await using provider = await openTestProvider();
    const session = {
      key: "att_1",
      amount: { currency: "EUR", amount: "19.99" },
      reference: "pay_1",
      returnUrl: "https://shop.example/done",
    };
    const first = await provider.call("POST", "/v1/sessions", session);
    assert.equal(first.status, 201);
    const { url, ...rest } = first.body as { url: string };
    assert.deepEqual(rest, {
      key: "att_1",
      reference: "pay_1",
      status: "open",
      amount: { currency: "EUR", amount: "19.99" },
      declineCode: "",
    });
    assert.match(url, /^http:\/\/127\.0\.0\.1:\d+\/pay\/cs_[0-9a-z]{32}$/);
    assert.deepEqual(await provider.call("POST", "/v1/sessions", session), { status: 200, body: first.body });
    assert.deepEqual(await provider.call("GET", "/v1/sessions/att_1"), { status: 200, body: first.body });
    assert.equal((await provider.call("GET", "/v1/sessions/att_2")).status, 404);
    assert.equal(await provider.count("sessions"), 1);
  });

  it("gives one session to many who open it at once", async () => {
    await using provider = await openTestProvider();
    const sessions = await Promise.all(Array.from({ length: 20 }, () => provider.open("att_1")));
    assert.equal(new Set(sessions.map(({ url }) => url)).size, 1);
    assert.equal(await provider.count("sessions"), 1);
  });

  it("refuses a key that was used for another amount or reference", async () => {
    await using provider = await openTestProvider();
    await provider.open("att_1");
    for (const more of [
      { amount: { currency: "EUR", amount: "20.00" } },
      { amount: { currency: "USD", amount: "19.99" } },
      { reference: "pay_2" },
    ])
      assert.deepEqual(await provider.open("att_1", more), {
        error: { code: "key_reused", message: "The key was used for something else", field: "key" },
      });
    assert.equal((await provider.read("att_1")).status, "open");
  });

  it("closes an open session once and for all", async () => {
    await using provider = await openTestProvider();
    const { url } = await provider.open("att_1");
    for (let time = 0; time < 2; time++) {
      const closed = await provider.call("POST", "/v1/sessions/att_1/close", {});
      assert.deepEqual([closed.status, (closed.body as { status: string }).status], [200, "closed"]);
    }
    const paid = await provider.pay(url, "4242424242424242");
    assert.equal(paid.status, 409);
    assert.match(paid.html, /can no longer be paid/);
    assert.equal((await provider.open("att_1")).status, "closed");
    assert.equal(await provider.count("charges"), 0);
  });

  it("closes a session that was never opened, so that a late open finds it closed", async () => {
    await using provider = await openTestProvider();
    const closed = await provider.call("POST", "/v1/sessions/att%2F1/close");
    assert.deepEqual(closed, {
      status: 200,
      body: { key: "att/1", reference: "", status: "closed", url: "", amount: { currency: "EUR", amount: "0.00" }, declineCode: "" },
    });
    assert.deepEqual(await provider.open("att/1"), closed.body);
    assert.deepEqual((await provider.call("POST", "/v1/sessions/att%2F1/close")).body, closed.body);
  });

  it("leaves a decided session as it is when it is closed, and says processing while it is undecided", async () => {
    await using provider = await openTestProvider();
    for (const [key, number, status] of [
      ["att_1", "4242424242424242", "succeeded"],
      ["att_2", "4000000000000002", "declined"],
      ["att_3", "4000000000000119", "processing"],
    ] as const) {
      const { url } = await provider.open(key);
      await provider.pay(url, number);
      assert.equal(((await provider.call("POST", `/v1/sessions/${key}/close`)).body as { status: string }).status, status);
      assert.equal((await provider.read(key)).status, status);
    }
  });

  it("PAY-04: refunds once per refund key, and never more than was charged", async () => {
    await using provider = await openTestProvider();
    const { url } = await provider.open("att_1");
    await provider.pay(url, "4242424242424242");
    const refund = (key: string, amount: string, currency = "EUR") =>
      provider.call("POST", "/v1/sessions/att_1/refunds", { key, amount: { currency, amount } });
    const answers = await Promise.all([refund("rfd_1", "12.00"), refund("rfd_1", "12.00"), refund("rfd_1", "12.00")]);
    for (const answer of answers) assert.deepEqual(answer, { status: 200, body: { status: "succeeded" } });
    assert.deepEqual((await refund("rfd_2", "8.00")).body, { status: "failed" });
    assert.deepEqual((await refund("rfd_3", "7.99", "USD")).body, { status: "failed" });
    const rest = await Promise.all(Array.from({ length: 10 }, (_, at) => refund(`rfd_4_${at}`, "1.00")));
    assert.equal(rest.filter(({ body }) => (body as { status: string }).status === "succeeded").length, 7);
    assert.deepEqual((await refund("rfd_5", "0.99")).body, { status: "succeeded" });
    assert.deepEqual((await refund("rfd_2", "8.00")).body, { status: "failed" }, "a repeat gets the first response again");
    assert.equal((await refund("rfd_1", "11.00")).status, 409);
    assert.equal((await refund("rfd_6", "0.00")).status, 400);
    await provider.server.idle();
    const types = provider.webhooks.map(({ event }) => event.type);
    assert.deepEqual([types.length, types.filter((type) => type === "refund.succeeded").length], [10, 9]);
  });

  it("fails a refund of what was not charged, and does not find the session of a refund that was never opened", async () => {
    await using provider = await openTestProvider();
    await provider.open("att_1");
    const body = { key: "rfd_1", amount: { currency: "EUR", amount: "1.00" } };
    assert.deepEqual(await provider.call("POST", "/v1/sessions/att_1/refunds", body), { status: 200, body: { status: "failed" } });
    assert.equal((await provider.call("POST", "/v1/sessions/att_2/refunds", body)).status, 404);
  });

  it("I3: shows its ledger page by page, in the order in which they were written", async () => {
    await using provider = await openTestProvider();
    const references: string[] = [];
    for (let at = 0; at < 5; at++) {
      const { url, reference } = await provider.open(`att_${at}`);
      provider.clock.advance(1_000);
      await provider.pay(url, at === 2 ? "4000000000000002" : "4242424242424242");
      if (at !== 2) references.push(reference);
    }
    type Page = { charges: { id: string; session: string; reference: string; at: string; amount: object }[]; next: string };
    const page = async (after: string) => (await provider.call("GET", `/v1/charges?limit=3&after=${after}`)).body as Page;
    const first = await page("");
    assert.equal(first.next, first.charges[2]?.id);
    const { id, ...charge } = first.charges[0]!;
    assert.match(id, /^ch_/);
    assert.deepEqual(charge, {
      session: "att_0",
      reference: "pay_of_att_0",
      amount: { currency: "EUR", amount: "19.99" },
      at: "2026-03-01T12:00:01.000Z",
    });
    const second = await page(first.next);
    assert.equal(second.next, "");
    assert.deepEqual(
      [...first.charges, ...second.charges].map(({ reference }) => reference),
      references,
    );

    await provider.call("POST", "/v1/sessions/att_0/refunds", { key: "rfd_1", amount: { currency: "EUR", amount: "5.00" } });
    const { refunds } = (await provider.call("GET", "/v1/refunds")).body as { refunds: { id: string }[] };
    assert.equal(refunds.length, 1);
    const { id: refundId, ...refund } = refunds[0]!;
    assert.match(refundId, /^rf_/);
    assert.deepEqual(refund, {
      key: "rfd_1",
      session: "att_0",
      reference: "pay_of_att_0",
      status: "succeeded",
      amount: { currency: "EUR", amount: "5.00" },
      at: "2026-03-01T12:00:05.000Z",
    });
  });

  it("says what is wrong with a request, and in which field", async () => {
    await using provider = await openTestProvider();
    const good = { key: "att_1", amount: { currency: "EUR", amount: "1.00" }, reference: "pay_1", returnUrl: "https://shop.example/" };
    const cases: [method: string, path: string, body: unknown, status: number, field: string | undefined][] = [
      ["POST", "/v1/sessions", { ...good, key: "a b" }, 400, "key"],
      ["POST", "/v1/sessions", { ...good, key: 7 }, 400, "key"],
      ["POST", "/v1/sessions", { ...good, key: "a\0" }, 400, "key"],
      ["POST", "/v1/sessions", { ...good, reference: "a\0" }, 400, "reference"],
      ["POST", "/v1/sessions", { ...good, returnUrl: "javascript:alert(1)" }, 400, "returnUrl"],
      ["POST", "/v1/sessions", { ...good, returnUrl: "https://[" }, 400, "returnUrl"],
      ["POST", "/v1/sessions", { ...good, amount: { currency: "EUX", amount: "1" } }, 400, "amount.currency"],
      ["POST", "/v1/sessions", { ...good, amount: { currency: "EUR", amount: "1.001" } }, 400, "amount.amount"],
      ["POST", "/v1/sessions", { ...good, amount: { currency: "EUR", amount: "-1" } }, 400, "amount.amount"],
      ["POST", "/v1/sessions", { ...good, amount: { currency: "EUR", amount: 1 } }, 400, "amount.amount"],
      ["POST", "/v1/sessions", "[]", 400, undefined],
      ["POST", "/v1/sessions", "{", 400, undefined],
      ["POST", "/v1/sessions", "x".repeat(20_000), 413, undefined],
      ["GET", "/v1/charges?limit=0", undefined, 400, "limit"],
      ["GET", "/v1/charges?after=x", undefined, 400, "after"],
      ["DELETE", "/v1/sessions/att_1", undefined, 405, undefined],
      ["GET", "/v1/nothing", undefined, 404, undefined],
      ["GET", "/v1/sessions/att_1/close/more", undefined, 404, undefined],
      ["GET", "/v1/sessions/%E0%A4%A", undefined, 404, undefined],
      ["POST", "/v1/faults", { slow: {} }, 400, "slow"],
      ["POST", "/v1/faults", { error: { probability: 2 } }, 400, "error.probability"],
      ["POST", "/v1/faults", { webhook: { next: 1 } }, 400, "webhook.times"],
      ["POST", "/v1/faults", { reset: { on: ["everything"] } }, 400, "reset.on"],
    ];
    for (const [method, path, body, status, field] of cases) {
      const answer = await provider.call(method, path, body);
      const { error } = answer.body as { error: { code: string; message: string; field?: string } };
      assert.deepEqual([answer.status, error.field], [status, field], `${method} ${path} ${JSON.stringify(body)?.slice(0, 100)}`);
      assert.match(error.code, /^[a-z_]+$/);
    }
    assert.equal(await provider.count("sessions"), 0);
    assert.deepEqual(provider.warnings, []);
  });

  it("refuses a caller without the api key", async () => {
    await using provider = await openTestProvider();
    for (const headers of [{}, { authorization: "Bearer sk_test_of_a_shoq" }, { authorization: "Bearer " }, { authorization: "Basic x" }]) {
      const response = await fetch(`${provider.url}/v1/charges`, { headers: headers as Record<string, string> });
      assert.equal(response.status, 401);
      assert.equal(((await response.json()) as { error: { code: string } }).error.code, "unauthenticated");
    }
  });
});
