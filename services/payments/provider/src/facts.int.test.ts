import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { providerFacts } from "./facts.ts";
import { openTestProvider } from "./test-provider.ts";

describe("provider: facts", () => {
  it("say which charges and refunds are in the ledger", async () => {
    await using provider = await openTestProvider();
    const facts = providerFacts.from(provider.database);
    const { url } = await provider.open("att_1");
    await provider.pay(url, "4242424242424242");
    await provider.call("POST", "/v1/sessions/att_1/refunds", { key: "rfd_1", amount: { currency: "EUR", amount: "5.00" } });
    const [charge] = await facts.charges("", 10);
    const { id, ...rest } = charge!;
    assert.deepEqual(rest, { session: "att_1", reference: "pay_of_att_1", currency: "EUR", amountMinor: 1999n });
    const [refund] = await facts.refunds("", 10);
    const { id: refundId, ...refunded } = refund!;
    assert.deepEqual(refunded, { ...rest, amountMinor: 500n, key: "rfd_1", status: "succeeded" });
    assert.deepEqual([await facts.charges(id, 10), await facts.refunds(refundId, 10)], [[], []]);
    assert.deepEqual(await facts.chargesBySessions(["att_1", "att_2"]), [charge]);
    assert.deepEqual(await facts.refundsBySessions(["att_1", "att_2"]), [refund]);
    assert.deepEqual(await facts.chargeCounts("", 10), [{ session: "att_1", charges: 1 }]);
  });
});
