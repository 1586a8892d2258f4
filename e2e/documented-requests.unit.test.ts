import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { Ajv2020 } from "ajv/dist/2020.js";
import type { ValidateFunction } from "ajv";
import fc from "fast-check";
import { formats } from "@kontor/platform/contract/formats.ts";
import { jsonCodec } from "@kontor/platform/contract/json.ts";
import { openApiDocument } from "@kontor/platform/contract/openapi.ts";
import { validatorOf } from "@kontor/platform/contract/validate.ts";
import { refusalIn } from "@kontor/platform/errors/refusal.ts";
import type { OpenApiDocument, OpenApiOperation } from "./answer-check.ts";
import { anyJson } from "./any-json.ts";
import { allOperations, namesIn } from "./operations.ts";
import type { Operation } from "./operations.ts";

const runs = Number(process.env["KONTOR_FUZZ_RUNS"] ?? 25) * 8;
const docs = JSON.parse(readFileSync(new URL("../contracts/gen/docs.json", import.meta.url), "utf8")) as Record<string, string>;
const services = [...new Set(allOperations.map(({ contract }) => contract.service))];
const info = { title: "Kontor", version: "1", url: "http://localhost" };
const document = openApiDocument({ services, docs, info }) as unknown as OpenApiDocument;
const ajv = new Ajv2020({ strict: false });
// The two that JSON Schema has itself. All others are patterns and lists in the document.
ajv.addFormat("email", formats["email"]!.test);
ajv.addFormat("date-time", (text: string) => accepted(() => jsonCodec(createdAfter).decodeText({ createdAfter: text })) === undefined);
for (const name of ["int32", "double", "float"]) ajv.addFormat(name, true);
ajv.addSchema({ $id: "shop", ...document });
const createdAfter = allOperations.find(({ name }) => name === "GET /v1/products")!.contract.method.input;

const described = ({ binding }: Operation): OpenApiOperation => document.paths[binding.path]![binding.verb.toLowerCase()]!;

/** The operation as its contract has it, and where its schemas are in the document. */
function compiled(operation: Operation, ...keys: readonly (string | number)[]): ValidateFunction {
  const steps = ["paths", operation.binding.path, operation.binding.verb.toLowerCase(), ...keys];
  const pointer = steps.map((step) => encodeURIComponent(String(step).replaceAll("~", "~0").replaceAll("/", "~1"))).join("/");
  return ajv.compile({ $ref: `shop#/${pointer}` });
}

/** Undefined for what is accepted, else what was wrong. Anything but a refusal is a fault. */
function accepted(work: () => unknown): string | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    const refusal = refusalIn(error);
    assert.equal(refusal?.reason, "INVALID_REQUEST", String(error));
    return JSON.stringify(refusal?.fields);
  }
}

function assertAgree(documented: boolean, problem: string | undefined, sent: unknown): void {
  assert.equal(problem === undefined, documented, `${JSON.stringify(sent)}: ${problem ?? "accepted"}`);
}

describe("requests are accepted exactly as the document says", () => {
  it("API-05: has what server-sent events consist of, and the header to go on after one", () => {
    const { parameters, responses } = described(allOperations.find(({ contract }) => contract.streams)!);
    const header = parameters.find(({ name }) => name === "Last-Event-ID");
    assert.deepEqual([header?.in, header?.schema], ["header", { type: "integer", format: "int32", minimum: 0, maximum: 2 ** 31 - 1 }]);
    const { schema: events } = responses["200"]!.content!["text/event-stream"]!;
    const data = (events: object): unknown =>
      (events as { oneOf: { properties: { data: { contentSchema: object } } }[] }).oneOf.map(
        ({ properties }) => properties.data.contentSchema,
      );
    assert.deepEqual(data(events), [
      { $ref: "#/components/schemas/OrderChange" },
      { type: "object", maxProperties: 0 },
      { $ref: "#/components/schemas/Problem" },
    ]);
  });

  const valueOf = anyJson(document, ["EUR", "cat_1", "TEE-S", "19.99"]);

  for (const operation of allOperations) {
    const { method } = operation.contract;
    const path = Object.fromEntries(namesIn(operation.binding.path).map((name) => [name, "x"]));
    const schema = described(operation).requestBody?.content["application/json"]?.schema;
    if (schema !== undefined)
      it(`API-05: the body of ${operation.name}`, () => {
        const allows = compiled(operation, "requestBody", "content", "application/json", "schema");
        const read = (body: unknown) =>
          validatorOf(method.input)(jsonCodec(method.input).decode(body, { path, fillMask: operation.binding.verb === "PATCH" }));
        assertAgree(
          described(operation).requestBody?.required === false,
          accepted(() => read(undefined)),
          "no body",
        );
        fc.assert(
          fc.property(valueOf(schema), (body) => {
            const sent = JSON.parse(JSON.stringify(body)) as unknown;
            // Half a character is no JSON of UTF-8, so no schema speaks of it.
            fc.pre(!/\\ud[89a-f]/.test(JSON.stringify(sent)));
            assertAgree(
              allows(sent),
              accepted(() => read(sent)),
              sent,
            );
          }),
          { numRuns: runs },
        );
      });

    for (const [nth, parameter] of described(operation).parameters.entries()) {
      if (parameter.in !== "query") continue;
      it(`API-05: the parameter ${parameter.name} of ${operation.name}`, () => {
        const allows = compiled(operation, "parameters", nth, "schema");
        fc.assert(
          fc.property(valueOf(parameter.schema), (value) => {
            const values = Array.isArray(value) ? value : [value];
            // A number, "1", and true, "true", are the same in a query: only values of the parameter's own type are compared.
            const type = typeOf(parameter.schema);
            fc.pre(values.length > 0 && Array.isArray(value) === (type === "array"));
            fc.pre(
              values.every((one) =>
                type === "integer" ? Number.isSafeInteger(one) : typeof one === (type === "boolean" ? type : "string"),
              ),
            );
            fc.pre(values.every((one) => typeof one !== "string" || one.isWellFormed()));
            const query = values.map((one): [string, string] => [parameter.name, String(one)]);
            assertAgree(
              allows(value),
              accepted(() => validatorOf(method.input)(jsonCodec(method.input).decodeQuery(query, path))),
              value,
            );
          }),
          { numRuns: runs },
        );
      });
    }
  }
});

/** "integer", "boolean" or "array"; "string" for all else, which is text. */
function typeOf(schema: { readonly type?: string }): string {
  return schema.type ?? "string";
}
