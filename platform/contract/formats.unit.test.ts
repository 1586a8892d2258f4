import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { formats } from "./formats.ts";

const examples: Readonly<Record<string, { readonly good: readonly string[]; readonly bad: readonly string[] }>> = {
  email: {
    good: ["a@b.de", "anna.o'neil+shop@mail.example.com", "jürgen@example.org", "a@xn--bcher-kva.example", `${"a".repeat(64)}@example.com`],
    bad: [
      "",
      "a",
      "@b.de",
      "a@b",
      "a@@b.de",
      "a b@c.de",
      ".a@b.de",
      "a.@b.de",
      "a..b@c.de",
      "a@-b.de",
      "a@b-.de",
      "a@b..de",
      "a@b.de\r\nBcc: c@d.de",
      "<a@b.de>",
      "a@b.de,c@d.de",
      `${"a".repeat(65)}@example.com`,
      `a@${"b.".repeat(130)}de`,
    ],
  },
  uri: {
    good: ["http://localhost:8080/a", "http://[::1]:80/", "http://u:p@a.de?b", "https://example.com", "HTTPS://example.com/ä?b=c#d"],
    bad: [
      "",
      "example.com",
      "ftp://a.de",
      "javascript:alert(1)",
      "https://:80",
      "https://a@",
      "https://a:b/",
      "https://",
      "https://a b.de",
      "https://a.de/\n",
      "https://a.de/\u202e",
      "//a.de",
    ],
  },
  uuid: {
    good: ["0b4b2a0e-7d3c-4f0a-9a57-3f8f2a9f1c11"],
    bad: ["", "0b4b2a0e7d3c4f0a9a573f8f2a9f1c11", "0b4b2a0e-7d3c-4f0a-9a57-3f8f2a9f1c1g"],
  },
  country: { good: ["DE", "GB", "ZW"], bad: ["", "de", "UK", "EU", "ZZ", "DEU"] },
  currency: { good: ["EUR", "JPY"], bad: ["", "eur", "EURO", "€"] },
  language: {
    good: ["de", "pt-BR", "zh-Hant-TW", "sl-rozaj-biske-1994", "es-419"],
    bad: ["", "d", "de_DE", "de-", "-de", `de${"-abcde".repeat(10)}`],
  },
  visible: { good: ["a", " ä ", "\n.", "\u0000x".slice(1)], bad: ["", " ", "\t\u00a0\u3000\ufeff", "\u0085", "\u0001", "a\0"] },
  word: { good: ["TEE-S", "ä_1", "😀"], bad: ["", "a b", "a/b", "a\u00a0", "\u0085", "\0", "a\n"] },
  decimal: { good: ["0", "-1.50", "007"], bad: ["", ".5", "5.", "1e3", "+1", "1,5", " 1", "١"] },
};

describe("formats", () => {
  for (const [name, format] of Object.entries(formats)) {
    it(`distinguishes a ${name} from other texts`, () => {
      for (const text of examples[name]?.good ?? []) assert.equal(format.test(text), true, text);
      for (const text of examples[name]?.bad ?? []) assert.equal(format.test(text), false, text);
    });
  }

  it("has an example of each", () => assert.deepEqual(Object.keys(examples).toSorted(), Object.keys(formats).toSorted()));

  it("takes no time for texts that are made to take it", () => {
    for (const format of Object.values(formats)) {
      for (const part of ["a", "a.", "a-", "-", "a@", "1", "https://", "a@a.", "%"]) {
        const began = performance.now();
        format.test(`${part.repeat(50_000)}!`);
        format.test(`a@${part.repeat(50_000)}!`);
        assert.ok(performance.now() - began < 100, part);
      }
    }
  });
});
