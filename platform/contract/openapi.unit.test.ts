import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Ajv2020 } from "ajv/dist/2020.js";
import { Allow, Idempotency } from "@kontor/contracts/gen/kontor/api/v1/options_pb.js";
import { RuledSchema } from "@kontor/contracts/gen/kontor/testing/v1/testing_pb.js";
import { formats } from "./formats.ts";
import { jsonCodec } from "./json.ts";
import { openApiDocument } from "./openapi.ts";
import { serviceOf } from "./test-contract.ts";
import { validatorOf } from "./validate.ts";

const things = serviceOf({
  ListThings: {
    input: "ListThingsRequest",
    output: "ListThingsResponse",
    allow: [Allow.PUBLIC, Allow.SELLER],
    http: { pattern: { case: "get", value: "/v1/shops/{shop}/things" } },
  },
  PlaceThing: {
    input: "Ruled",
    output: "PlaceThingResponse",
    allow: [Allow.AUTHENTICATED],
    http: {
      pattern: { case: "post", value: "/v1/things" },
      body: "*",
      additionalBindings: [{ pattern: { case: "post", value: "/things" }, body: "*" }],
    },
    rest: {
      idempotency: Idempotency.REQUIRED,
      outcomes: [
        { field: "placed", status: 201, location: "/v1/things/{id}" },
        { field: "pending", status: 202 },
      ],
    },
  },
  UpdateThing: {
    input: "UpdateThingRequest",
    output: "Thing",
    allow: [Allow.SELLER, Allow.ADMIN],
    http: { pattern: { case: "patch", value: "/v1/things/{thing}" }, body: "*" },
  },
  DeleteThing: {
    input: "Pending",
    output: "Thing",
    allow: [Allow.ADMIN],
    http: { pattern: { case: "delete", value: "/v1/things/{thing}" } },
    rest: { status: 204 },
  },
  ReadThing: {
    input: "ReadThing",
    output: "Thing",
    allow: [Allow.PUBLIC],
    http: { pattern: { case: "get", value: "/v1/read/{sku}" } },
    rest: { wait: "wait" },
  },
  TakeRaw: {
    input: "RawThingRequest",
    output: "RawThingResponse",
    allow: [Allow.PUBLIC],
    http: { pattern: { case: "post", value: "/v1/raw/{provider}" }, body: "*" },
    rest: { rawBody: true, idempotency: Idempotency.NONE, rawAnswer: "page" },
  },
  SendElsewhere: {
    input: "Pending",
    output: "RawThingResponse",
    allow: [Allow.PUBLIC],
    http: { pattern: { case: "get", value: "/v1/things/{thing}/page" } },
    rest: { redirect: "url" },
  },
  Inside: { input: "Leaf", output: "Kinds", allow: [Allow.INTERNAL], http: { pattern: { case: "get", value: "/v1/inside" } } },
  Nobody: { input: "Leaf", output: "Kinds", allow: [], http: { pattern: { case: "get", value: "/v1/nobody" } } },
});

const docs = {
  "kontor.testing.v1.ThingsService.UpdateThing": "Changes a thing. Only what is sent.",
  "kontor.testing.v1.Colour.RED": "As a tomato.",
  "kontor.testing.v1.Ruled.slug": "A slug.",
};
const document = openApiDocument({ services: [things], docs, info: { title: "Things", version: "1.2.3", url: "https://shop.example" } });

/** What stands at a path of keys. */
function at(...keys: readonly (string | number)[]): unknown {
  return keys.reduce((value: unknown, key) => (value as Record<string, unknown> | undefined)?.[key], document);
}

describe("the OpenAPI document", () => {
  it("has every public binding, and no other", () => {
    const operations = Object.entries(document["paths"] as Record<string, Record<string, { operationId: string }>>);
    assert.deepEqual(
      operations.map(([path, item]) => [path, ...Object.entries(item).map(([verb, { operationId }]) => `${verb} ${operationId}`)]),
      [
        ["/things", "post ThingsService_PlaceThing_2"],
        ["/v1/raw/{provider}", "post ThingsService_TakeRaw"],
        ["/v1/read/{sku}", "get ThingsService_ReadThing"],
        ["/v1/shops/{shop}/things", "get ThingsService_ListThings"],
        ["/v1/things", "post ThingsService_PlaceThing"],
        ["/v1/things/{thing}", "delete ThingsService_DeleteThing", "patch ThingsService_UpdateThing"],
        ["/v1/things/{thing}/page", "get ThingsService_SendElsewhere"],
      ],
    );
    assert.deepEqual(
      [document["openapi"], at("info", "version"), at("servers", 0, "url"), at("tags", 0, "name")],
      ["3.1.0", "1.2.3", "https://shop.example", "Things"],
    );
  });

  const parameters = (path: string, verb: string): string[] =>
    (at("paths", path, verb, "parameters") as { name: string; in: string; required: boolean }[]).map(
      (one) => `${one.in} ${one.name}${one.required ? "!" : ""}`,
    );

  it("has parameters with their rules, and the key where it is honoured", () => {
    assert.deepEqual(parameters("/v1/shops/{shop}/things", "get"), [
      "path shop!",
      "query limit",
      "query cursor",
      "query published",
      "query colour",
      "query createdAfter",
      "query sku",
      "query priceMin",
    ]);
    assert.deepEqual(parameters("/v1/things", "post"), ["header Idempotency-Key!"]);
    assert.deepEqual(parameters("/v1/things/{thing}", "patch"), ["path thing!", "header Idempotency-Key"]);
    assert.deepEqual(parameters("/v1/raw/{provider}", "post"), ["path provider!"]);
    assert.deepEqual(at("paths", "/v1/shops/{shop}/things", "get", "parameters", 1, "schema"), {
      type: "integer",
      format: "int32",
      minimum: 1,
      maximum: 100,
    });
    assert.deepEqual(at("paths", "/v1/shops/{shop}/things", "get", "parameters", 4, "schema"), { $ref: "#/components/schemas/Colour" });
  });

  it("has the header by which a read waits for a change, and not the field that takes it", () => {
    assert.deepEqual(parameters("/v1/read/{sku}", "get"), ["path sku!", "header Prefer"]);
    assert.ok(at("paths", "/v1/read/{sku}", "get", "responses", "200", "headers", "Preference-Applied"));
    assert.equal(at("paths", "/v1/shops/{shop}/things", "get", "responses", "200", "headers", "Preference-Applied"), undefined);
    assert.equal(at("components", "schemas", "Wait"), undefined);
  });

  it("has bodies without the fields of the path, and no mask", () => {
    assert.deepEqual(at("paths", "/v1/things", "post", "requestBody", "content", "application/json", "schema"), {
      $ref: "#/components/schemas/Ruled",
    });
    const patch = at("paths", "/v1/things/{thing}", "patch", "requestBody", "content", "application/json", "schema") as {
      properties: object;
    };
    assert.deepEqual(Object.keys(patch.properties), ["displayName", "leaf", "version", "lines", "title"]);
    // Whatever is sent is taken, and nothing too.
    assert.deepEqual(at("paths", "/v1/raw/{provider}", "post", "requestBody"), { content: { "*/*": { schema: {} } } });
  });

  it("has responses, their Location headers, and problems for the rest", () => {
    const responses = (path: string, verb: string): string[] => Object.keys(at("paths", path, verb, "responses") as object);
    assert.deepEqual(responses("/v1/things", "post"), ["201", "202", "4XX", "5XX"]);
    assert.ok(at("paths", "/v1/things", "post", "responses", "201", "headers", "Location"));
    assert.equal(at("paths", "/v1/things", "post", "responses", "202", "headers"), undefined);
    assert.deepEqual(at("paths", "/v1/things", "post", "responses", "202", "content", "application/json", "schema"), {
      $ref: "#/components/schemas/Pending",
    });
    assert.deepEqual(responses("/v1/things/{thing}", "delete"), ["204", "4XX", "5XX"]);
    assert.deepEqual(responses("/v1/things/{thing}/page", "get"), ["303", "4XX", "5XX"]);
    assert.deepEqual(responses("/v1/shops/{shop}/things", "get"), ["200", "304", "4XX", "5XX"]);
    assert.ok(at("paths", "/v1/raw/{provider}", "post", "responses", "200", "content", "*/*"));
    assert.deepEqual(at("components", "responses", "Problem", "content", "application/problem+json", "schema"), {
      $ref: "#/components/schemas/Problem",
    });
  });

  it("says who may call", () => {
    const security = (path: string, verb: string): unknown => at("paths", path, verb, "security");
    assert.deepEqual(security("/v1/shops/{shop}/things", "get"), [{}, { bearer: [] }]);
    assert.deepEqual(security("/v1/things", "post"), [{ bearer: [] }]);
    assert.deepEqual(security("/v1/raw/{provider}", "post"), []);
    assert.deepEqual(at("paths", "/v1/things/{thing}", "patch", "x-allow"), ["SELLER", "ADMIN"]);
  });

  it("has the comments", () => {
    assert.equal(at("paths", "/v1/things/{thing}", "patch", "summary"), "Changes a thing.");
    assert.equal(at("paths", "/v1/things/{thing}", "patch", "description"), "Changes a thing. Only what is sent.");
    assert.match(String(at("components", "schemas", "Colour", "description")), /`RED`: As a tomato\./);
  });

  it("has a component for each message, with its rules and annotations", () => {
    const clean = "^[^\\u0000]*$";
    const property = (name: string): unknown => at("components", "schemas", "Ruled", "properties", name);
    assert.deepEqual(property("name"), { type: "string", minLength: 2, maxLength: 10, pattern: clean, "x-personal": true });
    assert.deepEqual(property("slug"), {
      anyOf: [{ const: "" }, { type: "string", maxLength: 40, pattern: "^[a-z0-9]+(-[a-z0-9]+)*$" }],
      description: "A slug.",
    });
    assert.deepEqual(property("size"), { anyOf: [{ const: "" }, { type: "string", enum: ["S", "M", "L"] }] });
    assert.deepEqual(property("tags"), {
      type: "array",
      items: { type: "string", minLength: 2, maxLength: 5, pattern: clean },
      maxItems: 3,
      uniqueItems: true,
    });
    assert.deepEqual(property("password"), {
      anyOf: [{ const: "" }, { type: "string", minLength: 8, pattern: clean }],
      writeOnly: true,
    });
    assert.deepEqual(property("id"), { type: "string", pattern: clean, readOnly: true });
    assert.deepEqual(property("at"), { type: "string", format: "date-time" });
    assert.deepEqual(at("components", "schemas", "Ruled", "required"), ["name", "quantity", "limit", "colour", "lines", "at"]);
    assert.equal(at("components", "schemas", "Ruled", "additionalProperties"), false);
    assert.deepEqual(at("components", "schemas", "Colour", "enum"), ["RED", "DARK_BLUE"]);
    assert.equal(at("components", "schemas", "Kinds"), undefined);
  });

  it("refers only to what it has", () => {
    const text = JSON.stringify(document);
    const references = [...text.matchAll(/"\$ref":"#\/([^"]+)"/g)].map(([, path = ""]) => path);
    assert.ok(references.length > 10);
    for (const reference of references) assert.notEqual(at(...reference.split("/")), undefined, reference);
  });

  it("is the same for the same contracts, whatever their order", () => {
    const again = openApiDocument({ services: [things], docs, info: { title: "Things", version: "1.2.3", url: "https://shop.example" } });
    assert.equal(JSON.stringify(again), JSON.stringify(document));
  });

  it("accepts and refuses the same bodies as the validator", () => {
    const ajv = new Ajv2020({ strict: false, allErrors: true });
    for (const [name, format] of Object.entries(formats)) ajv.addFormat(name, format.test);
    ajv.addFormat("date-time", true).addFormat("int32", true).addFormat("double", true).addFormat("float", true);
    ajv.addSchema(document, "document");
    const allows = ajv.compile({ $ref: "document#/components/schemas/Ruled" });
    const accepts = (body: unknown): boolean => {
      try {
        validatorOf(RuledSchema)(jsonCodec(RuledSchema).decode(body));
        return true;
      } catch {
        // Whatever was refused: the document has to refuse it too.
        return false;
      }
    };
    const good = { name: "Anna", quantity: 1, limit: 1, colour: "RED", lines: [{ sku: "a", quantity: 1 }], at: "2026-01-31T12:00:00Z" };
    const changes: readonly [boolean, Record<string, unknown>][] = [
      [true, {}],
      [true, { slug: "a-b", email: "a@b.de", size: "M", tags: ["ab"], labels: { a: "b" }, token: "abc", blob: "AAA=", note: "" }],
      [true, { lines: [{ sku: "a", quantity: 1, unitPrice: { currency: "EUR", amount: "1.99" } }] }],
      [false, { name: undefined }],
      [false, { name: "" }],
      [false, { name: "A" }],
      [false, { name: "😀" }],
      [true, { name: "😀😀" }],
      [false, { slug: "A" }],
      [false, { size: "XL" }],
      [false, { quantity: 0 }],
      [false, { quantity: 1.5 }],
      [false, { quantity: "1" }],
      [false, { priority: 0 }],
      [false, { colour: "PINK" }],
      [false, { colour: undefined }],
      [false, { tags: ["ab", "ab"] }],
      [false, { tags: ["a"] }],
      [false, { tags: ["ab", "cd", "ef", "gh"] }],
      [false, { lines: [] }],
      [false, { lines: [{ sku: "", quantity: 1 }] }],
      [false, { lines: [{ sku: "a", quantity: 1, unitPrice: { currency: "XXY", amount: "1" } }] }],
      [false, { labels: { a: "" } }],
      [false, { labels: { a: "b", c: "d", e: "f" } }],
      [false, { line: { sku: "a", quantity: 1 }, token: "abc" }],
      [false, { more: 1 }],
    ];
    for (const [wanted, change] of changes) {
      const body = JSON.parse(JSON.stringify({ ...good, ...change })) as unknown;
      assert.deepEqual([allows(body), accepts(body)], [wanted, wanted], JSON.stringify(change));
    }
  });
});
