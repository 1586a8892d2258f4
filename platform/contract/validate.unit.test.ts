import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { Message, MessageInitShape } from "@bufbuild/protobuf";
import { FieldMaskSchema, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { MoneySchema } from "@kontor/contracts/gen/kontor/api/v1/common_pb.js";
import {
  Colour,
  KindsSchema,
  OfferSchema,
  PlainSchema,
  RuledSchema,
  UpdateThingRequestSchema,
} from "@kontor/contracts/gen/kontor/testing/v1/testing_pb.js";
import fc from "fast-check";
import { Refusal } from "../errors/refusal.ts";
import type { FieldError } from "../errors/refusal.ts";
import { anyMessage } from "./arbitrary-message.ts";
import { jsonCodec } from "./json.ts";
import { problemsMax } from "./problems.ts";
import { validatorOf } from "./validate.ts";

const validate = validatorOf(RuledSchema);

function problemsIn(work: () => void): readonly FieldError[] {
  try {
    work();
  } catch (error) {
    assert.ok(error instanceof Refusal, String(error));
    assert.deepEqual([error.reason, error.code], ["INVALID_REQUEST", "invalid_argument"]);
    return error.fields;
  }
  return [];
}

const short = (errors: readonly FieldError[]): string[] => errors.map(({ field, reason }) => `${field} ${reason}`);

/** A message that keeps every rule, changed. */
const ruled = (change: MessageInitShape<typeof RuledSchema> = {}): Message =>
  create(RuledSchema, {
    name: "Anna",
    quantity: 1,
    limit: 1,
    colour: Colour.RED,
    lines: [{ sku: "a", quantity: 1 }],
    at: timestampFromMs(0),
    ...change,
  });

const wrongWith = (change: MessageInitShape<typeof RuledSchema>): string[] => short(problemsIn(() => validate(ruled(change))));

describe("rules", () => {
  it("hold for a message that keeps them, with all else absent", () => {
    assert.deepEqual(wrongWith({}), []);
    assert.deepEqual(
      wrongWith({
        slug: "a-b-c1",
        nickname: "an",
        email: "anna.o'neil+shop@mail.example.com",
        link: "https://example.com/a?b=c#d",
        country: "DE",
        language: "pt-BR",
        trace: "0b4b2a0e-7d3c-4f0a-9a57-3f8f2a9f1c11",
        size: "M",
        limit: 100,
        priority: 1,
        tags: ["ab", "cd"],
        labels: { a: "b" },
        method: { case: "token", value: "abc" },
        blob: new Uint8Array(2),
        password: "12345678",
        note: "",
      }),
      [],
    );
  });

  it("refuse what is required and absent, once", () => {
    assert.deepEqual(wrongWith({ name: "", colour: Colour.COLOUR_UNSPECIFIED, lines: [], at: undefined as never }), [
      "at REQUIRED",
      "name REQUIRED",
      "colour REQUIRED",
      "lines REQUIRED",
    ]);
    assert.deepEqual(wrongWith({ labels: { a: "" }, method: { case: "token", value: "" } }), ["labels.a REQUIRED", "token REQUIRED"]);
    assert.deepEqual(short(problemsIn(() => validatorOf(UpdateThingRequestSchema)(create(UpdateThingRequestSchema, {})))), [
      "thing REQUIRED",
    ]);
  });

  it("do not apply to a text that is absent, but to an optional one that is set", () => {
    assert.deepEqual(wrongWith({ slug: "", email: "", password: "" }), []);
    assert.deepEqual(wrongWith({ nickname: "" }), ["nickname TOO_SHORT"]);
  });

  it("each have their reason and a sentence", () => {
    const cases: readonly [MessageInitShape<typeof RuledSchema>, string, string][] = [
      [{ name: "a" }, "name TOO_SHORT", "must have at least 2 characters"],
      [{ name: "12345678901" }, "name TOO_LONG", "must have at most 10 characters"],
      [{ slug: "A" }, "slug PATTERN", "must have the form ^[a-z0-9]+(-[a-z0-9]+)*$"],
      [{ email: "anna" }, "email FORMAT", "must be an e-mail address"],
      [{ link: "ftp://example.com" }, "link FORMAT", "must be a web address that starts with http:// or https://"],
      [{ country: "UK" }, "country FORMAT", "must be a country of ISO 3166-1 such as DE"],
      [{ language: "de_DE" }, "language FORMAT", "must be a language of BCP 47 such as de or pt-BR"],
      [{ trace: "1" }, "trace FORMAT", "must be a UUID"],
      [{ size: "XL" }, "size NOT_ONE_OF", "must be one of S, M, L"],
      [{ quantity: 0 }, "quantity TOO_SMALL", "must be at least 1"],
      [{ limit: 0 }, "limit TOO_SMALL", "must be at least 1"],
      [{ quantity: 100 }, "quantity TOO_LARGE", "must be at most 99"],
      [{ priority: 0 }, "priority TOO_SMALL", "must be at least 1"],
      [{ colour: 7 as Colour }, "colour NOT_ONE_OF", "must be one of RED, DARK_BLUE"],
      [{ tags: ["ab", "ab"] }, "tags NOT_UNIQUE", "must not have the same item twice"],
      [{ tags: ["ab", "a"] }, "tags[1] TOO_SHORT", "must have at least 2 characters"],
      [{ tags: ["", "", "", ""] }, "tags TOO_MANY", "must have at most 3 items"],
      [{ labels: { "a b": "123456" } }, 'labels["a b"] TOO_LONG', "must have at most 5 characters"],
      [{ labels: { "/~": "123456" } }, 'labels["/~"] TOO_LONG', "must have at most 5 characters"],
      [{ labels: { a: "", b: "", c: "" } }, "labels TOO_MANY", "must have at most 2 entries"],
      [{ method: { case: "token", value: "ab" } }, "token TOO_SHORT", "must have at least 3 characters"],
      [{ method: { case: "line", value: { sku: "a", quantity: 1001 } } }, "line.quantity TOO_LARGE", "must be at most 1000"],
      [{ blob: new Uint8Array(1) }, "blob TOO_SHORT", "must have at least 2 bytes"],
      [{ blob: new Uint8Array(5) }, "blob TOO_LONG", "must have at most 4 bytes"],
      [{ note: "123456" }, "note TOO_LONG", "must have at most 5 characters"],
      [{ at: { seconds: 10n ** 15n, nanos: 0 } }, "at FORMAT", "must be a time between the years 1 and 9999"],
      [{ at: { seconds: 0n, nanos: -1 } }, "at FORMAT", "must be a time between the years 1 and 9999"],
      [
        {
          lines: [
            { sku: "a", quantity: 1 },
            { sku: "", quantity: 1 },
          ],
        },
        "lines[1].sku REQUIRED",
        "is required",
      ],
    ];
    for (const [change, expected, message] of cases) {
      const errors = problemsIn(() => validate(ruled(change)));
      assert.deepEqual([short(errors), errors[0]?.message], [[expected], message]);
    }
    assert.deepEqual(wrongWith({ quantity: Number.NaN }), ["quantity TOO_LARGE", "quantity TOO_SMALL"]);
  });

  it("hold within messages that hold themselves", () => {
    const parent = { ...ruled(), $typeName: undefined } as MessageInitShape<typeof RuledSchema>;
    assert.deepEqual(wrongWith({ parent: { ...parent, parent: { ...parent, lines: [{}] } } as never }), [
      "parent.parent.lines[0].sku REQUIRED",
      "parent.parent.lines[0].quantity TOO_SMALL",
    ]);
  });

  it("CAT-05: money has no more decimals than its currency and is not below zero", () => {
    const price = (currency: string, amount: string): string[] =>
      wrongWith({ lines: [{ sku: "a", quantity: 1, unitPrice: { currency, amount } }] });
    assert.deepEqual(price("EUR", "19.99"), []);
    assert.deepEqual(price("EUR", "19.999"), ["lines[0].unitPrice.amount FORMAT"]);
    assert.deepEqual(price("JPY", "5.0"), ["lines[0].unitPrice.amount FORMAT"]);
    assert.deepEqual(price("EUR", "-1"), ["lines[0].unitPrice.amount TOO_SMALL"]);
    assert.deepEqual(price("EUR", "99999999999999999999"), ["lines[0].unitPrice.amount TOO_LARGE"]);
    assert.deepEqual(price("XXY", "1"), ["lines[0].unitPrice.currency FORMAT"]);
    assert.deepEqual(price("EUR", "1e3"), ["lines[0].unitPrice.amount FORMAT"]);
    assert.deepEqual(price("", ""), ["lines[0].unitPrice.currency REQUIRED", "lines[0].unitPrice.amount REQUIRED"]);
    assert.deepEqual(short(problemsIn(() => validatorOf(MoneySchema)(create(MoneySchema, { currency: "EUR", amount: "0.001" })))), [
      "amount FORMAT",
    ]);
  });

  it("refuse NUL and broken characters in every text, with rules or without", () => {
    const kinds = validatorOf(KindsSchema);
    const message = create(KindsSchema, {
      text: "a\0",
      maybeText: "\ud800",
      texts: ["ok", "\0"],
      words: { a: "\0", "\0": "a" },
      choice: { case: "chosenText", value: "\0" },
      wrappedText: "\0",
      free: { a: [{ b: "\0" }] },
      anything: { kind: { case: "stringValue", value: "\0" } },
      again: { text: "\0" },
    });
    assert.deepEqual(short(problemsIn(() => kinds(message))), [
      "text PATTERN",
      "maybeText PATTERN",
      "texts[1] PATTERN",
      'words["\\u0000"] PATTERN',
      "words.a PATTERN",
      "chosenText PATTERN",
      "wrappedText PATTERN",
      "free PATTERN",
      "anything PATTERN",
      "again.text PATTERN",
    ]);
    assert.deepEqual(wrongWith({ name: "an\0a", slug: "\0" }), ["name PATTERN", "slug PATTERN", "slug PATTERN"]);
  });

  it("name twenty problems at most", () => {
    const lines = Array.from({ length: 5 }, () => ({ sku: "", quantity: 0, unitPrice: { currency: "", amount: "" } }));
    assert.equal(problemsIn(() => validate(create(RuledSchema, { lines, parent: { lines } }))).length, problemsMax);
  });

  it("never change or touch a message that is frozen", () => {
    const freeze = (value: unknown): void => {
      if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return;
      Object.freeze(value);
      Object.values(value).forEach(freeze);
    };
    const message = ruled({ tags: ["ab"], labels: { a: "b" }, blob: new Uint8Array(2) });
    freeze(message);
    validate(message);
  });

  it("API-05: say which fields belong together, that money is above zero, and which values of an enum are possible", () => {
    const good: MessageInitShape<typeof OfferSchema> = { thing: "t1", count: 1 };
    const together = { count: 1, lines: [{ sku: "a", quantity: 1 }], price: { currency: "EUR", amount: "0.01" } };
    const problems = (init: MessageInitShape<typeof OfferSchema>) =>
      short(problemsIn(() => validatorOf(OfferSchema)(create(OfferSchema, init))));
    for (const init of [good, together, { ...good, colour: Colour.RED }]) assert.deepEqual(problems(init), []);
    assert.deepEqual(problems({ count: 1 }), ["thing REQUIRED"]);
    assert.deepEqual(problems({ count: 1, lines: together.lines }), ["price REQUIRED"]);
    assert.deepEqual(problems({ ...together, lines: [] }), ["lines REQUIRED"]);
    assert.deepEqual(problems({ ...together, ...good }), ["lines NOT_TOGETHER", "price NOT_TOGETHER"]);
    for (const amount of ["0", "0.00", "000.0"])
      assert.deepEqual(problems({ ...together, price: { currency: "EUR", amount } }), ["price.amount TOO_SMALL"]);
    for (const [currency, amount] of [
      ["EUR", "10000000000000.00"],
      ["JPY", "1000000000000000"],
      ["CLF", "100000000000"],
    ] as const)
      assert.deepEqual(problems({ ...together, price: { currency, amount } }), ["price.amount TOO_LARGE"]);
    assert.deepEqual(problems({ ...good, colour: Colour.DARK_BLUE }), ["colour NOT_ONE_OF"]);
    assert.deepEqual(problems({ thing: "t1" }), ["count TOO_SMALL"]);
  });

  it("API-05: let a change leave out what it does not name, and make nothing empty that is kept", () => {
    const problems = (paths: readonly string[], init: MessageInitShape<typeof UpdateThingRequestSchema> = {}) =>
      short(
        problemsIn(() =>
          validatorOf(UpdateThingRequestSchema)(
            create(UpdateThingRequestSchema, { thing: "t1", updateMask: create(FieldMaskSchema, { paths: [...paths] }), ...init }),
          ),
        ),
      );
    assert.deepEqual(problems([]), []);
    assert.deepEqual(problems(["display_name", "leaf"]), []);
    assert.deepEqual(problems(["title", "lines"], { title: "T", lines: [{ sku: "a", quantity: 1 }] }), []);
    assert.deepEqual(problems(["lines", "title"]), ["lines REQUIRED", "title REQUIRED"]);
    assert.deepEqual(problems(["title"], { title: " " }), ["title FORMAT"]);
  });

  it("cost nothing where there are none", () => {
    validatorOf(PlainSchema)(create(PlainSchema, { whole: 1.5 }));
    assert.equal(validatorOf(PlainSchema), validatorOf(PlainSchema));
  });

  it("say the same of a message however it came: made here, from JSON, from the binary form", () => {
    fc.assert(
      fc.property(anyMessage(RuledSchema, 1), (message) => {
        const made = problemsIn(() => validate(message));
        const codec = jsonCodec(RuledSchema);
        assert.deepEqual(
          problemsIn(() => validate(codec.decode(JSON.parse(codec.encode(message)), { from: "server" }))),
          made,
        );
        assert.deepEqual(
          problemsIn(() => validate(fromBinary(RuledSchema, toBinary(RuledSchema, message)))),
          made,
        );
      }),
    );
  });
});
