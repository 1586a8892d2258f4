import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { chooseVariant } from "./choose-variant.ts";
import type { Variant } from "./choose-variant.ts";

const variant = (sku: string, amount: string, available?: number): Variant => ({
  sku,
  price: { currency: "EUR", amount },
  ...(available !== undefined && { available }),
});
const chosen = (...variants: readonly Variant[]) => chooseVariant([{ title: "Thing", variants }])?.variant.sku;

describe("what kontor walk buys", () => {
  it("CAT-05: is what has units, else what stock sets no limit to, as in an imported shop that counts nothing", () => {
    assert.equal(chosen(variant("voucher", "20.00"), variant("chair", "90.00", 3)), "chair");
    assert.equal(chosen(variant("gone", "5.00", 0), variant("voucher", "20.00")), "voucher");
    assert.equal(chosen(variant("gone", "5.00", 0), variant("promised", "5.00", -2)), undefined);
  });

  it("is nothing that is free, because there is no page to pay it on", () => {
    assert.equal(chosen(variant("sample", "0.00", 10), variant("tea", "5.00")), "tea");
    assert.equal(chosen(variant("sample", "0")), undefined);
  });
});
