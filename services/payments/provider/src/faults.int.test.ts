import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { openTestProvider } from "./test-provider.ts";

describe("provider: faults", { concurrency: true }, () => {
  it("R7: responds with 500 and executes nothing, for the next so many requests", async () => {
    await using provider = await openTestProvider({ faults: { error: { next: 2 } } });
    const session = { key: "att_1", amount: { currency: "EUR", amount: "1.00" }, reference: "pay_1", returnUrl: "https://shop.example/" };
    for (const status of [500, 500, 201]) assert.equal((await provider.call("POST", "/v1/sessions", session)).status, status);
    assert.deepEqual((await provider.call("GET", "/v1/faults")).body, { error: { next: 0 } });
  });

  it("R7: executes it and loses the response, at the operations that are named", async () => {
    await using provider = await openTestProvider();
    await provider.call("POST", "/v1/faults", { reset: { next: 2, on: ["pay", "refund"] } });
    const { url } = await provider.open("att_1");
    await assert.rejects(provider.pay(url, "4242424242424242"));
    assert.equal((await provider.read("att_1")).status, "succeeded");
    const refund = () =>
      provider.call("POST", "/v1/sessions/att_1/refunds", { key: "rfd_1", amount: { currency: "EUR", amount: "19.99" } });
    await assert.rejects(refund());
    assert.equal(await provider.count("refunds"), 1);
    assert.deepEqual((await refund()).body, { status: "succeeded" });
    assert.deepEqual([await provider.count("charges"), await provider.count("refunds")], [1, 1]);
  });

  it("R7: stalls and then executes it, although nobody waits any more: an open that comes after its close is closed", async () => {
    await using provider = await openTestProvider();
    await provider.call("POST", "/v1/faults", { stall: { next: 1, ms: 20_000, on: ["open"] } });
    const given = new AbortController();
    const opening = fetch(`${provider.url}/v1/sessions`, {
      method: "POST",
      headers: { authorization: "Bearer sk_test_of_a_shop" },
      body: JSON.stringify({
        key: "att_1",
        amount: { currency: "EUR", amount: "1.00" },
        reference: "pay_1",
        returnUrl: "https://shop.example/",
      }),
      signal: given.signal,
    });
    while (((await provider.call("GET", "/v1/faults")).body as { stall: { next: number } }).stall.next > 0);
    given.abort();
    await assert.rejects(opening);
    assert.equal((await provider.call("GET", "/v1/sessions/att_1")).status, 404);
    await provider.call("POST", "/v1/sessions/att_1/close");
    provider.clock.advance(20_000);
    await provider.server.idle();
    assert.deepEqual([(await provider.read("att_1")).status, await provider.count("sessions")], ["closed", 1]);
  });

  it("R6: sends the webhook as often as the script says", async () => {
    await using provider = await openTestProvider({ faults: { webhook: { next: 1, times: 5 } } });
    await provider.pay((await provider.open("att_1")).url, "4242424242424242");
    await provider.call("POST", "/v1/faults", { webhook: { next: 1, times: 0 } });
    for (const key of ["att_2", "att_3"]) await provider.pay((await provider.open(key)).url, "4242424242424242");
    await provider.server.idle();
    assert.deepEqual(
      provider.webhooks.map(({ event }) => event.data.key),
      ["att_1", "att_1", "att_1", "att_1", "att_1", "att_3"],
    );
  });

  it("R7: draws from the random that is passed in, so that a run can be repeated", async () => {
    const draws = [0.01, 0.5, 0.049, 0.05, 0.99];
    await using provider = await openTestProvider({ faults: { error: { probability: 0.05 } }, random: () => draws.shift() ?? 1 });
    const statuses: number[] = [];
    for (let at = 0; at < 5; at++) statuses.push((await provider.call("GET", "/v1/sessions/att_1")).status);
    assert.deepEqual(statuses, [500, 404, 500, 404, 404]);
  });

  it("stops at once although a page and a request are stalled, and nothing was done for the request", async () => {
    await using provider = await openTestProvider();
    const { url } = await provider.open("att_1");
    const paying = provider.pay(url, "4000000000000101");
    while ((await provider.read("att_1")).status !== "processing");
    await provider.call("POST", "/v1/faults", { stall: { next: 1 } });
    const closing = assert.rejects(provider.call("POST", "/v1/sessions/att_2/close"));
    while (((await provider.call("GET", "/v1/faults")).body as { stall: { next: number } }).stall.next > 0);
    await provider.server.stop();
    assert.equal((await paying).status, 504);
    await closing;
    assert.equal(await provider.count("sessions"), 1);
  });
});
