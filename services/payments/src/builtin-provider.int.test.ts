import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, it } from "node:test";
import { refusalIn } from "@kontor/platform/errors/refusal.ts";
import type { Faults } from "../provider/src/provider-server.ts";
import { apiKey, openTestProvider, webhookSecret } from "../provider/src/test-provider.ts";
import type { TestProvider } from "../provider/src/test-provider.ts";
import { builtinProvider } from "./builtin-provider.ts";
import type { Provider } from "./provider.ts";

const { signal } = new AbortController();
const eur = (minor: bigint) => ({ currency: "EUR", minor });
const attempt = { key: "att_1", amount: eur(1999n), reference: "pay_1", returnUrl: "https://shop.example/pay/x/done" };

function clientOf(provider: TestProvider): Provider {
  return builtinProvider({ providerUrl: provider.url, apiKey, webhookSecret });
}

/** A call whose outcome is unknown. */
async function assertUnknown(outcome: Promise<unknown>): Promise<void> {
  await assert.rejects(
    outcome,
    (error) => refusalIn(error)?.reason === "DEPENDENCY_UNAVAILABLE" && refusalIn(error)?.code === "unavailable",
  );
}

const script = (provider: TestProvider, faults: Faults) => provider.call("POST", "/v1/faults", faults);

describe("the built-in provider's client", { concurrency: true }, () => {
  it("opens, reads, receives the webhook of the payment and refunds it", async () => {
    await using provider = await openTestProvider();
    const client = clientOf(provider);
    assert.equal(await client.read("att_1", signal), undefined);
    const opened = await client.open(attempt, signal);
    const { url, ...rest } = opened;
    assert.deepEqual(rest, { key: "att_1", status: "open", amount: eur(1999n), declineCode: "" });
    assert.deepEqual(await client.open(attempt, signal), opened);
    assert.deepEqual(await client.read("att_1", signal), opened);
    assert.equal((await provider.pay(url, "4242424242424242")).location, attempt.returnUrl);
    await provider.server.idle();
    const { headers, body } = provider.webhooks[0]!;
    const event = client.receive(headers, body);
    assert.deepEqual(event, { id: headers["webhook-id"], payment: "pay_1", session: { ...opened, status: "succeeded" } });
    assert.deepEqual(await client.close("att_1", signal), event?.session);
    const refund = { key: "rfd_1", session: "att_1", amount: eur(1999n) };
    assert.equal(await client.refund(refund, signal), "succeeded");
    assert.equal(await client.refund(refund, signal), "succeeded");
    assert.equal(await client.refund({ ...refund, key: "rfd_2" }, signal), "failed");
    await provider.server.idle();
    assert.equal(
      client.receive(provider.webhooks[1]!.headers, provider.webhooks[1]!.body),
      undefined,
      "the webhook of a refund says what its response said before",
    );
  });

  it("closes what was never opened: it can never be paid", async () => {
    await using provider = await openTestProvider();
    const client = clientOf(provider);
    assert.equal((await client.close("att_1", signal)).status, "closed");
    assert.equal((await client.open(attempt, signal)).status, "closed");
  });

  it("S14: refuses webhooks that are forged, stale, or for another's secret", async () => {
    await using provider = await openTestProvider();
    const client = clientOf(provider);
    await provider.pay((await client.open(attempt, signal)).url, "4000000000000002");
    await provider.server.idle();
    const { headers, body } = provider.webhooks[0]!;
    const session = client.receive(headers, body)?.session;
    assert.deepEqual([session?.status, session?.declineCode], ["declined", "card_declined"]);
    const forged = [
      [headers, Buffer.from(body.toString().replace("declined", "succeeded"))],
      [{ ...headers, "webhook-id": "evt_other" }, body],
      [{ ...headers, "webhook-timestamp": String(Number(headers["webhook-timestamp"]) - 600) }, body],
      [{ ...headers, "webhook-signature": "" }, body],
      [{}, body],
    ] as const;
    for (const [wrongHeaders, wrongBody] of forged)
      assert.throws(
        () => client.receive(wrongHeaders, wrongBody),
        (error) => refusalIn(error)?.reason === "WEBHOOK_SIGNATURE",
      );
  });

  it("R6: a call whose response is lost has an unknown outcome; repeated, it is executed once", async () => {
    await using provider = await openTestProvider();
    const client = clientOf(provider);
    const repeated = async <T>(call: () => Promise<T>): Promise<T> => {
      await script(provider, { reset: { next: 1 } });
      await assertUnknown(call());
      return call();
    };
    const opened = await repeated(() => client.open(attempt, signal));
    assert.equal(opened.status, "open");
    assert.deepEqual(await repeated(() => client.read("att_1", signal)), opened);
    await provider.pay(opened.url, "4242424242424242");
    assert.equal(await repeated(() => client.refund({ key: "rfd_1", session: "att_1", amount: eur(1000n) }, signal)), "succeeded");
    assert.equal((await repeated(() => client.close("att_1", signal))).status, "succeeded");
    assert.equal((await repeated(() => client.close("att_2", signal))).status, "closed");
    assert.deepEqual([await provider.count("sessions"), await provider.count("charges"), await provider.count("refunds")], [2, 1, 1]);
  });

  it("R7: the outcome is unknown too when the provider fails, stalls, or is unreachable", async () => {
    await using provider = await openTestProvider();
    const client = clientOf(provider);
    await script(provider, { error: { next: 1 } });
    await assertUnknown(client.open(attempt, signal));
    await script(provider, { stall: { next: 1 } });
    const caller = new AbortController();
    const opening = assertUnknown(client.open(attempt, caller.signal));
    while (((await provider.call("GET", "/v1/faults")).body as { stall: { next: number } }).stall.next > 0);
    caller.abort();
    await opening;
    await provider.server.stop();
    await assertUnknown(client.open(attempt, signal));
    await assertUnknown(client.read("att_1", AbortSignal.abort()));
  });

  it("takes an unreadable response for none, and a refusal for a fault", async () => {
    const answers: [number, string][] = [
      [200, "<html>"],
      [200, `"${"x".repeat(70_000)}"`],
      [429, "{}"],
      [401, "{}"],
      [404, "{}"],
    ];
    const server = createServer((request, response) => {
      const [status, body] = answers.shift()!;
      request.resume().on("end", () => response.writeHead(status).end(body));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    try {
      const providerUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
      const client = builtinProvider({ providerUrl, apiKey, webhookSecret });
      for (let time = 0; time < 3; time++) await assertUnknown(client.open(attempt, signal));
      for (const message of [/responded with 401/, /does not know/])
        await assert.rejects(client.open(attempt, signal), (error: Error) => refusalIn(error) === undefined && message.test(error.message));
    } finally {
      await new Promise((resolve) => {
        server.close(resolve);
        server.closeAllConnections();
      });
    }
  });
});
