import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { pathToFileURL } from "node:url";
import { getOption, hasOption } from "@bufbuild/protobuf";
import type { DescField, DescMessage, DescService } from "@bufbuild/protobuf";
import { event, personal, secret } from "@kontor/contracts/gen/kontor/api/v1/options_pb.js";
import { contractOf, methodsOf } from "./contract.ts";
import { rulesOf } from "./element.ts";
import { jsonCodec } from "./json.ts";
import { messagesWithin } from "./message-schema.ts";
import { openApiDocument } from "./openapi.ts";
import { validatorOf } from "./validate.ts";

const gen = join(import.meta.dirname, "..", "..", "contracts", "gen");
const files = globSync("kontor/**/*_pb.js", { cwd: gen });
const modules = await Promise.all(files.map((file) => import(pathToFileURL(join(gen, file)).href) as Promise<Record<string, unknown>>));
const exported = modules.flatMap((module) => Object.values(module));
const ofKind = <T>(kind: string): T[] => exported.filter((one) => (one as { kind?: string } | undefined)?.kind === kind) as T[];
const messages = ofKind<DescMessage>("message");
const services = ofKind<DescService>("service");
const fields = messages.flatMap((message) => message.fields);
const nameOf = (field: DescField): string => `${field.parent.typeName}.${field.name}`;

/** The contracts' comments, by the full name of what they describe. */
const docs = JSON.parse(readFileSync(join(gen, "docs.json"), "utf8")) as Readonly<Record<string, string>>;

const longMs = 50;

/**
 * The time that the slowest of many texts takes against a pattern, texts that repeat one or two of its characters and then break
 * off. They grow slowly, and stop growing when one takes long: an exponential pattern shows itself before it hangs.
 */
function slowestMatchMs(pattern: string, lengthMax: number): number {
  const expression = new RegExp(pattern, "u");
  const characters = [...new Set([...pattern.replaceAll(/\\[a-zA-Z]|\{[0-9,]*\}/g, "a1 ").split(""), "a", "A", "1", "-", " ", "ß"])];
  let slowest = 0;
  for (const first of characters) {
    for (const second of characters) {
      for (let length = 8; length <= lengthMax; length = Math.ceil(length * 1.1)) {
        const text = `${(first + second).repeat(length / 2)}\u0001`;
        const began = performance.now();
        expression.test(text);
        slowest = Math.max(slowest, performance.now() - began);
        if (slowest > longMs) return slowest;
      }
    }
  }
  return slowest;
}

describe("the contracts", () => {
  it("have rules that fit their fields, and JSON", () => {
    assert.ok(messages.length > 0 && services.length > 0);
    for (const message of messages) {
      validatorOf(message);
      jsonCodec(message);
    }
  });

  it("have routes that can be described", () => {
    const paths = openApiDocument({ services, docs: {}, info: { title: "Kontor", version: "0", url: "/" } })["paths"] as Record<
      string,
      object
    >;
    const described = Object.values(paths).flatMap((item) => Object.keys(item)).length;
    const bound = services.flatMap((service) => methodsOf(service)).flatMap(({ bindings }) => bindings).length;
    assert.equal(described, bound, "two methods share a route, or a route belongs to a method that nobody outside may call");
  });

  it("say of every method who may call it", () => {
    for (const service of services)
      for (const method of service.methods) assert.notDeepEqual(contractOf(method).allow, [], `${service.typeName}.${method.name}`);
  });

  it("API-07: say of every operation what it does", () => {
    const undescribed = services
      .filter(({ typeName }) => !typeName.startsWith("kontor.testing."))
      .flatMap(methodsOf)
      .filter(({ bindings }) => bindings.length > 0)
      .map(({ service, method }) => `${service.typeName}.${method.name}`)
      .filter((name) => docs[name] === undefined);
    assert.deepEqual(undescribed, [], "a comment above its rpc is missing");
  });

  it("have patterns that no text makes slow", () => {
    const patterns = new Map(
      fields.flatMap((field) => {
        const rules = rulesOf(field);
        return [rules, rules?.items].flatMap((one) =>
          one === undefined || one.pattern === "" ? [] : [[one.pattern, one.maxLength ?? 10_000] as const],
        );
      }),
    );
    assert.ok(patterns.size > 0);
    for (const [pattern, lengthMax] of patterns) assert.ok(slowestMatchMs(pattern, lengthMax) < longMs, pattern);
    assert.ok(slowestMatchMs("^(a+)+$", 100) > longMs, "the texts would show a slow one");
  });

  it("put nothing personal and no secret into events", () => {
    const events = messages.filter((message) => hasOption(message, event));
    const within = new Set(events.flatMap((message) => [...messagesWithin(message)]));
    const marked = [...within]
      .flatMap((message) => message.fields)
      .filter((field) => getOption(field, personal) || getOption(field, secret));
    assert.deepEqual(marked.map(nameOf), []);
  });
});
