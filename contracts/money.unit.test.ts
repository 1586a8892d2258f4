import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { MoneyError, add, allocate, compare, decimalsOf, isCurrency, moneyFrom, moneyTo, subtract, times, wholeMinor } from "./money.ts";
import type { Money } from "./money.ts";

const currencies = ["EUR", "USD", "JPY", "KWD", "CHF", "TND"];
const anyCurrency = fc.constantFrom(...currencies);
const anyMinor = fc.bigInt({ min: -(10n ** 17n), max: 10n ** 17n });
const anyMoney = fc.record({ currency: anyCurrency, minor: anyMinor }, { noNullPrototype: true });
const euros = (amount: string): Money => moneyFrom({ currency: "EUR", amount });

function refused(work: () => unknown, reason: string): void {
  assert.throws(work, (error) => error instanceof MoneyError && error.reason === reason);
}

describe("money", () => {
  it("CAT-05: 0.1 + 0.2 is 0.3", () => {
    assert.equal(moneyTo(add(euros("0.1"), euros("0.2"))).amount, "0.30");
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 10n ** 15n }), fc.bigInt({ min: 0n, max: 10n ** 15n }), (a, b) => {
        const text = (minor: bigint): string => `${minor / 100n}.${String(minor % 100n).padStart(2, "0")}`;
        assert.equal(moneyTo(add(euros(text(a)), euros(text(b)))).amount, text(a + b));
      }),
    );
  });

  it("CAT-05: what is written is read back as it was, with the currency's own decimals", () => {
    fc.assert(
      fc.property(anyMoney, (money) => {
        const written = moneyTo(money);
        assert.equal(written.amount.split(".")[1]?.length ?? 0, decimalsOf(money.currency));
        assert.deepEqual(moneyFrom(written, { negative: true }), money);
      }),
    );
  });

  it("CAT-05: sums and differences undo each other, and a quantity is so many sums", () => {
    fc.assert(
      fc.property(anyCurrency, anyMinor, anyMinor, fc.integer({ min: 0, max: 50 }), (currency, a, b, quantity) => {
        const left = { currency, minor: a };
        const right = { currency, minor: b };
        assert.deepEqual(subtract(add(left, right), right), left);
        assert.deepEqual(
          times(left, quantity),
          Array.from({ length: quantity }, () => left).reduce((sum, one) => add(sum, one), { currency, minor: 0n }),
        );
        assert.equal(Math.sign(compare(left, right)), a < b ? -1 : a > b ? 1 : 0);
      }),
    );
  });

  it("CAT-05: rounding loses nothing: parts add up to the whole, each within a unit of its share", () => {
    const weights = fc.array(fc.nat(10_000), { minLength: 1, maxLength: 20 }).filter((all) => all.some((weight) => weight > 0));
    fc.assert(
      fc.property(anyMoney, weights, (total, shares) => {
        const parts = allocate(total, shares);
        const sum = BigInt(shares.reduce((left, right) => left + right, 0));
        assert.equal(
          parts.reduce((left, part) => left + part.minor, 0n),
          total.minor,
        );
        for (const [index, part] of parts.entries()) {
          const off = part.minor * sum - total.minor * BigInt(shares[index] ?? 0);
          assert.ok(off < sum && off > -sum);
          if (shares[index] === 0) assert.equal(part.minor, 0n);
        }
      }),
    );
  });

  it("gives what remains to the largest remainder, the earlier part first", () => {
    const parts = (minor: bigint, weights: readonly number[]): bigint[] =>
      allocate({ currency: "EUR", minor }, weights).map((part) => part.minor);
    assert.deepEqual(parts(100n, [1, 1, 1]), [34n, 33n, 33n]);
    assert.deepEqual(parts(5n, [1, 2, 7]), [1n, 1n, 3n]);
    assert.deepEqual(parts(-100n, [1, 1, 1]), [-34n, -33n, -33n]);
    refused(() => parts(1n, [0, 0]), "TOO_SMALL");
    refused(() => parts(1n, [1, -1]), "TOO_SMALL");
    refused(() => parts(1n, [0.5]), "NOT_WHOLE");
  });

  it("CAT-05: refuses more decimals than the currency has", () => {
    assert.deepEqual(euros("19.99"), { currency: "EUR", minor: 1999n });
    assert.deepEqual(moneyFrom({ currency: "JPY", amount: "500" }), { currency: "JPY", minor: 500n });
    assert.deepEqual(moneyFrom({ currency: "KWD", amount: "1.5" }), { currency: "KWD", minor: 1500n });
    refused(() => euros("19.999"), "FORMAT");
    refused(() => euros("19.990"), "FORMAT");
    refused(() => moneyFrom({ currency: "JPY", amount: "5.0" }), "FORMAT");
  });

  it("refuses what is no amount", () => {
    for (const amount of ["", " 1", "1 ", "1.", ".5", "1e3", "+1", "0x10", "1,5", "--1", "NaN", "Infinity", "١", "1".repeat(40)])
      refused(() => euros(amount), "FORMAT");
    refused(() => moneyFrom({ currency: "eur", amount: "1" }), "CURRENCY");
    refused(() => moneyFrom({ currency: "XQQ", amount: "1" }), "CURRENCY");
    refused(() => moneyFrom({ currency: "__proto__", amount: "1" }), "CURRENCY");
    assert.equal(isCurrency("EUR"), true);
  });

  it("allows less than nothing only when told so, and never more than SQL can hold", () => {
    refused(() => euros("-0.01"), "TOO_SMALL");
    refused(() => euros("-0"), "TOO_SMALL");
    assert.equal(moneyFrom({ currency: "EUR", amount: "-0.01" }, { negative: true }).minor, -1n);
    assert.equal(euros("92233720368547758.07").minor, 2n ** 63n - 1n);
    refused(() => euros("92233720368547758.08"), "TOO_LARGE");
    const range = "must be from 0.00 to 9999999999999.99 EUR";
    for (const amount of ["-0.01", "92233720368547758.08"]) assert.throws(() => euros(amount), { message: range });
  });

  it("CAT-05: has the decimals of ISO 4217, not those of a locale", () => {
    for (const currency of ["HUF", "COP", "IDR", "PKR", "RSD"])
      assert.deepEqual(moneyFrom({ currency, amount: "1.5" }), { currency, minor: 150n });
    assert.deepEqual(moneyFrom({ currency: "IQD", amount: "1.5" }), { currency: "IQD", minor: 1500n });
    assert.equal(moneyTo({ currency: "CLF", minor: 1n }).amount, "0.0001");
    assert.equal(decimalsOf("UYI"), 0);
    for (const currency of ["XAU", "XTS", "XXX", "DEM"]) assert.equal(isCurrency(currency), false);
  });

  it("rounds the bounds of a range to the amounts inside it", () => {
    const bounds = (currency: string, amount: string) => [wholeMinor({ currency, amount }, "up"), wholeMinor({ currency, amount }, "down")];
    assert.deepEqual(bounds("EUR", "19.99"), [1999n, 1999n]);
    assert.deepEqual(bounds("EUR", "19.990"), [1999n, 1999n]);
    assert.deepEqual(bounds("EUR", "19.991"), [2000n, 1999n]);
    assert.deepEqual(bounds("JPY", "1.5"), [2n, 1n]);
    assert.deepEqual(bounds("JPY", "-1.5"), [-1n, -2n]);
    assert.deepEqual(bounds("EUR", "99999999999999999999"), [2n ** 63n - 1n, 2n ** 63n - 1n]);
    refused(() => bounds("EUR", "1e3"), "FORMAT");
    refused(() => bounds("DEM", "1"), "CURRENCY");
  });

  it("keeps currencies apart and quantities whole", () => {
    const yen = { currency: "JPY", minor: 1n };
    for (const work of [add, subtract, compare]) refused(() => work(euros("1"), yen), "MISMATCH");
    refused(() => times(yen, 0.5), "NOT_WHOLE");
  });
});
