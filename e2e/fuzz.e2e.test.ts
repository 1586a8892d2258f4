import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import fc from "fast-check";
import { openAnswerCheck } from "./answer-check.ts";
import type { AnswerCheck, OpenApiOperation } from "./answer-check.ts";
import { anyJson } from "./any-json.ts";
import { operations, pathOf } from "./operations.ts";
import type { Operation } from "./operations.ts";
import { openShopWithData } from "./shop-with-data.ts";
import type { ShopWithData } from "./shop-with-data.ts";
import type { Shopper } from "./shopper.ts";

const runs = Number(process.env["KONTOR_FUZZ_RUNS"] ?? 25);

describe("whatever is sent", () => {
  let fixture: ShopWithData;
  let answers: AnswerCheck;
  let people: readonly Shopper[];
  const seen = new Map<string, Set<number>>();

  before(async () => {
    fixture = await openShopWithData();
    answers = await openAnswerCheck(fixture.shop.api);
    people = [fixture.admin, fixture.ada, fixture.guest];
  });

  interface Case {
    readonly who: number;
    readonly ids: Readonly<Record<string, string>>;
    readonly query: Readonly<Record<string, unknown>>;
    readonly body: unknown;
    readonly key: string | undefined;
  }

  function anyCase(operation: Operation, described: OpenApiOperation): fc.Arbitrary<Case> {
    const real = [...Object.values(fixture.ids), fixture.ada.email, fixture.admin.email, fixture.ada.password];
    const valueOf = anyJson(answers.document, real);
    const parameters = (place: string, requiredKeys: string[] | undefined): fc.Arbitrary<Record<string, unknown>> =>
      fc.record(
        Object.fromEntries(described.parameters.filter((one) => one.in === place).map(({ name, schema }) => [name, valueOf(schema)])),
        requiredKeys === undefined ? {} : { requiredKeys },
      );
    const body = described.requestBody?.content["application/json"]?.schema;
    return fc.record({
      who: fc.nat(people.length - 1),
      ids: fc.oneof(
        { arbitrary: fc.constant(fixture.ids), weight: 3 },
        {
          arbitrary: parameters("path", undefined).map((values) =>
            Object.fromEntries(Object.entries(values).map(([name, value]) => [name, textOf(value)])),
          ),
          weight: 2,
        },
      ),
      query: parameters("query", []),
      body:
        operation.binding.body === "*"
          ? fc.option(body === undefined ? fc.jsonValue() : valueOf(body), { nil: undefined, freq: 20 })
          : fc.constant(undefined),
      // Where no key is taken, one in five has one all the same.
      key: fc.oneof(
        { arbitrary: fc.oneof(fc.uuid(), fc.stringMatching(/^[\x20-\x7e]{1,40}$/)), weight: operation.takesKey ? 4 : 1 },
        { arbitrary: fc.constant(undefined), weight: operation.takesKey ? 1 : 4 },
      ),
    });
  }

  // What deletes comes last, so that the others find something.
  const inOrder = operations.toSorted((a, b) => Number(deletes(a)) - Number(deletes(b)));
  for (const operation of inOrder)
    it(`S28 S15 SEC-03 API-10: ${operation.name} responds to ${runs} strange requests as documented, and never with 5xx`, async () => {
      const statuses = new Set<number>();
      seen.set(operation.name, statuses);
      await fc.assert(
        fc.asyncProperty(anyCase(operation, answers.operation(operation.binding)), async ({ who, ids, query, body, key }) => {
          const search = new URLSearchParams(
            Object.entries(query).map(([name, value]): [string, string] => [name, textOf(value)]),
          ).toString();
          const path = pathOf(operation, ids) + (search === "" ? "" : `?${search}`);
          // Signing out would leave the others of this file outside.
          const person = operation.name === "POST /v1/logout" ? fixture.guest : people[who]!;
          const answer = await person.call(operation.binding.verb, path, {
            ...(body !== undefined && { json: body }),
            ...(key !== undefined && { key }),
          });
          assert.ok(answer.status < 500, `${operation.name}: ${answer.status} ${answer.text}`);
          answers.check(answer, answer.status < 300 ? operation : undefined);
          statuses.add(answer.status);
        }),
        { numRuns: runs, endOnFailure: true },
      );
    });

  it("S28: many of them were served, and the shop works", async (t) => {
    const through = [...seen].filter(([, statuses]) => [...statuses].some((status) => status < 400)).map(([name]) => name);
    t.diagnostic(`${through.length} of ${seen.size} operations answered some with success`);
    assert.ok(through.length > seen.size / 2, through.join());
    assert.deepEqual(
      fixture.shop.lines.filter((line) => line.includes('"level":"error"')),
      [],
    );
    const { code, output } = await fixture.shop.run(["verify"]);
    assert.equal(code, 0, output);
  });
});

function deletes({ binding }: Operation): boolean {
  return binding.verb === "DELETE" || /(cancel|archive|merge)$/.test(binding.path);
}

function textOf(value: unknown): string {
  const text = typeof value === "string" ? value : (JSON.stringify(value) ?? "");
  // What is no text at all cannot stand in an address.
  return text.toWellFormed();
}
