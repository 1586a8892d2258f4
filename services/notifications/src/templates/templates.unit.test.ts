import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { OrderSchema, OrderStatus } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import { cancellationMail, confirmationMail, refundMail, reminderMail, shippingMail } from "./order-mails.ts";
import type { Words } from "./layout.ts";
import { addressTakenMail, passwordResetMail, verificationMail } from "./identity-mails.ts";

const { PENDING, PAID, CANCELLED, COMPLETED } = OrderStatus;
const shop = { name: "Hanse & Söhne", url: "https://shop.example" };
const eur = (amount: string) => ({ currency: "EUR", amount });
const at = (hour: number) => timestampFromDate(new Date(Date.UTC(2026, 2, 2, hour, 5)));

interface Strange {
  readonly name: string;
  readonly title: string;
  readonly carrier: string;
  readonly tracking: string;
}

const plain: Strange = { name: "Ann Lee", title: "Ocean Blue Shirt (Small)", carrier: "DHL", tracking: "JD014600" };

/** Every mail, with somebody else's texts in it. */
function mails({ name, title, carrier, tracking }: Strange): Readonly<Record<string, Words>> {
  const order = (history: readonly { readonly status: OrderStatus; readonly cause?: string }[]) =>
    create(OrderSchema, {
      id: "ord_1",
      status: history.at(-1)!.status,
      lines: [
        { sku: "os-s", title, quantity: 2, unitPrice: eur("19.99"), total: eur("39.98") },
        { sku: "cup", title: "Cup", quantity: 1, unitPrice: eur("5.00"), total: eur("5.00") },
      ],
      total: eur("44.98"),
      payment: { id: "pay_1", ...(history.length === 1 && { url: "https://shop.example/pay/pay_1?s=1&t=2" }) },
      history: [...history],
      fulfilments: history.at(-1)!.status === COMPLETED ? [{ id: "ful_1", carrier, tracking, at: at(10) }] : [],
      expiresAt: at(9),
    });
  const pending = { status: PENDING };
  const paid = { status: PAID };
  return {
    verification: verificationMail(shop, { name, code: "ABCDE-FGHJK", expiresAt: new Date(Date.UTC(2026, 2, 2, 9, 10)) }),
    "address-taken": addressTakenMail(shop, { name, token: "t0ken_-", expiresAt: new Date(Date.UTC(2026, 2, 2, 10, 0)) }),
    "password-reset": passwordResetMail(shop, { name, token: "t0ken_-", expiresAt: new Date(Date.UTC(2026, 2, 2, 10, 0)) }),
    confirmation: confirmationMail(shop, { name, order: order([pending, paid]) }),
    reminder: reminderMail(shop, { name, order: order([pending]) }),
    "cancellation-expired": cancellationMail(shop, { name, order: order([pending, { status: CANCELLED, cause: "EXPIRED" }]) }),
    "cancellation-paid": cancellationMail(shop, { name, order: order([pending, paid, { status: CANCELLED, cause: "OUT_OF_STOCK" }]) }),
    shipping: shippingMail(shop, { name, order: order([pending, paid, { status: COMPLETED }]) }),
    refund: refundMail(shop, { name, order: order([pending, paid]), amount: "9.99 EUR" }),
  };
}

describe("notifications: templates", () => {
  // After a change on purpose: KONTOR_GOLDEN=write node tools/test.ts services/notifications/src/templates
  for (const [kind, { subject, text, html }] of Object.entries(mails(plain)))
    it(`NTF-09: ${kind} is written as its golden files are`, async () => {
      for (const [form, written] of Object.entries({ txt: `Subject: ${subject}\n\n${text}`, html })) {
        const file = new URL(`golden/${kind}.${form}`, import.meta.url);
        if (process.env["KONTOR_GOLDEN"] === "write") await writeFile(file, written);
        assert.equal(written, (await readFile(file, "utf8")).replaceAll("\r\n", "\n"));
      }
    });

  it("NTF-04: a reminder carries the order's id, the amount, the time until which it is reserved, and the link to pay", () => {
    const { subject, text, html } = mails(plain)["reminder"]!;
    for (const fact of ["ord_1", "44.98 EUR", "2026-03-02 09:05 UTC"])
      for (const form of [text, html]) assert.ok(form.includes(fact), fact);
    assert.ok(subject.includes("ord_1"));
    assert.ok(text.includes("https://shop.example/pay/pay_1?s=1&t=2"));
    assert.ok(html.includes('href="https://shop.example/pay/pay_1?s=1&#38;t=2"'));
  });

  it("NTF-09, S15: a name that holds a web address is not in the mail, in whatever spelling; other names are", () => {
    const written = (name: string) => Object.values(mails({ ...plain, name })).flatMap(({ text, html }) => [text, html]);
    for (const name of [
      "Win 1000 EUR at https://evil.example/now",
      "HTTP://evil",
      "www.evil.example",
      "evil.example",
      "Ann evil.example/path Lee",
      "me@evil.example",
      "ｅｖｉｌ．ｅｘａｍｐｌｅ",
      "böse。例え",
      "evil.xn--p1ai",
      "evil\u200b.example",
      "evil.\u00ad\u2060example",
      "evil.\u202eexample",
    ])
      for (const form of written(name)) {
        assert.match(form, /^Hello,$|<p>Hello,<\/p>/m, name);
        assert.doesNotMatch(form, /evil|böse|ｅｖｉｌ/i, name);
      }
    for (const name of ["Ann Lee", "J. R. R. Tolkien", "J.R.R. Tolkien", "Dr. O'Neil-Smith", "Ann/Bo", "李小龍", "Ann 2.0", "Jr."])
      for (const form of written(name)) assert.match(form, /Hello \S/, name);
  });

  it("NTF-09, S15: names and titles are text, whatever they contain", () => {
    const script = "<script>alert('x')</script>\r\nBcc: eve@shop";
    for (const [kind, { subject, text, html }] of Object.entries(
      mails({ name: script, title: `"><img src=x onerror=alert(1)>`, carrier: "<b>", tracking: "'&'" }),
    )) {
      assert.doesNotMatch(html, /<script|<img|<b>/, kind);
      assert.doesNotMatch(subject, /[\r\n]|script/, kind);
      assert.doesNotMatch(text, /^Bcc/m, kind);
      assert.ok(html.includes("Hello &#60;script&#62;alert(&#39;x&#39;)&#60;/script&#62; Bcc: eve@shop,"), kind);
    }
    const markup = (words: Words) => [...words.html.matchAll(/[<>"']/g)].length;
    const usual = Object.values(mails(plain)).map(markup);
    const strange = fc
      .string({ unit: fc.constantFrom("<", ">", "&", '"', "'", "a", " ", "\n", "é", "${", "]]>", "-->"), maxLength: 20 })
      .map((text) => `x${text}`);
    fc.assert(
      fc.property(strange, strange, strange, strange, (name, title, carrier, tracking) => {
        const written = Object.values(mails({ name, title, carrier, tracking }));
        assert.deepEqual(written.map(markup), usual);
        const lines = ({ text }: Words) => text.split(/[\n\r]/).length;
        assert.deepEqual(written.map(lines), Object.values(mails(plain)).map(lines));
      }),
    );
  });
});
