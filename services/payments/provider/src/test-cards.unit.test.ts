import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isLuhnValid, readCard, testCards } from "./test-cards.ts";

const now = new Date("2026-03-31T12:00:00Z");
const read = (form: Partial<Parameters<typeof readCard>[0]>) => readCard({ number: "4242424242424242", expiry: "", cvc: "", ...form }, now);
const fieldOf = (form: Parameters<typeof read>[0]) => {
  const entry = read(form);
  return "message" in entry ? entry.field : undefined;
};

describe("test cards", () => {
  it("PAY-02: every listed card passes the check of its digits and has its own outcome", () => {
    for (const { number, outcome } of testCards) assert.deepEqual(read({ number }), { outcome, last4: number.slice(-4) });
    assert.equal(new Set(testCards.map(({ name }) => name)).size, testCards.length);
  });

  it("a number that could be a card's is declined as unknown, any other is no card", () => {
    assert.deepEqual(read({ number: "5555 5555-5555 4444" }), { outcome: { kind: "decline", code: "unknown_card" }, last4: "4444" });
    for (const number of ["", "4242", "4242424242424241", "4242424242424242424242", "4242x42424242424", "٤٢٤٢٤٢٤٢٤٢٤٢٤٢٤٢"])
      assert.equal(fieldOf({ number }), "number", number);
  });

  it("expiry and security code are optional, and checked when they are present", () => {
    for (const expiry of ["", "03/26", "3/26", "12/30", "12/2030", " 12 / 30 "]) assert.equal(fieldOf({ expiry }), undefined, expiry);
    for (const expiry of ["02/26", "12/25", "13/30", "00/30", "1230", "12/3", "x"]) assert.equal(fieldOf({ expiry }), "expiry", expiry);
    for (const cvc of ["", "123", "1234"]) assert.equal(fieldOf({ cvc }), undefined, cvc);
    for (const cvc of ["12", "12345", "abc"]) assert.equal(fieldOf({ cvc }), "cvc", cvc);
  });

  it("the check of digits finds each wrong digit and each swap of neighbours but 09 and 90", () => {
    assert.ok(isLuhnValid("79927398713"));
    for (let at = 0; at < 11; at++) for (let by = 1; by < 10; by++) assert.ok(!isLuhnValid(withDigit("79927398713", at, by)));
    assert.ok(!isLuhnValid("97927398713"));
  });
});

function withDigit(digits: string, at: number, by: number): string {
  return digits.slice(0, at) + ((Number(digits[at]) + by) % 10) + digits.slice(at + 1);
}
