import assert from "node:assert/strict";
import { Ajv2020 } from "ajv/dist/2020.js";
import type { ValidateFunction } from "ajv";
import type { HttpBinding } from "@kontor/platform/contract/contract.ts";
import { formats } from "@kontor/platform/contract/formats.ts";
import { reasons } from "./operations.ts";
import type { Operation } from "./operations.ts";
import type { Answer } from "./shopper.ts";

export interface OpenApiOperation {
  readonly operationId: string;
  readonly parameters: readonly { readonly name: string; readonly in: string; readonly required: boolean; readonly schema: object }[];
  readonly requestBody?: { readonly required: boolean; readonly content: Readonly<Record<string, { readonly schema: object }>> };
  readonly responses: Readonly<Record<string, { readonly content?: Readonly<Record<string, { readonly schema: object }>> }>>;
  readonly security: readonly object[];
}

/** The document at /openapi.json, as far as it is asked here. */
export interface OpenApiDocument {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, OpenApiOperation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, object>>; readonly responses: object; readonly securitySchemes: object };
}

/** What is true of every answer, whatever was asked. */
export interface AnswerCheck {
  readonly document: OpenApiDocument;
  operation(binding: HttpBinding): OpenApiOperation;
  /** Throws unless it has the headers of all answers and looks as the document says: the operation's answer, or the one problem. */
  check(answer: Answer, operation?: Operation): void;
}

/** Reads the shop's own document and compiles it. */
export async function openAnswerCheck(api: string): Promise<AnswerCheck> {
  const document = (await (await fetch(`${api}/openapi.json`)).json()) as OpenApiDocument;
  const ajv = new Ajv2020({ strict: false, allErrors: true });
  for (const [name, { test }] of Object.entries(formats)) ajv.addFormat(name, test);
  ajv.addFormat("date-time", (text: string) => !Number.isNaN(Date.parse(text)));
  for (const name of ["int32", "uint32", "int64", "uint64", "float", "double", "byte"]) ajv.addFormat(name, true);
  ajv.addSchema({ $id: "shop", ...document });
  const compiled = new Map<string, ValidateFunction>();
  const validator = (pointer: string): ValidateFunction => {
    const known = compiled.get(pointer);
    if (known !== undefined) return known;
    const made = ajv.compile({ $ref: `shop#${pointer}` });
    compiled.set(pointer, made);
    return made;
  };
  const operationAt = ({ verb, path }: HttpBinding): OpenApiOperation => {
    const found = document.paths[path]?.[verb.toLowerCase()];
    assert.ok(found, `${verb} ${path} is in the document`);
    return found;
  };

  return {
    document,
    operation: operationAt,
    check: (answer, operation) => {
      const { status, headers } = answer;
      const where = `${operation?.name ?? ""} ${status} ${answer.text.slice(0, 500)}`;
      assertHeaders(headers, where);
      if (status >= 400) return assertProblem(answer, validator("/components/schemas/Problem"), where);
      if (operation === undefined || status === 304) return;
      const { binding } = operation;
      const described = operationAt(binding).responses[status];
      assert.ok(described, `${operation.name} answered ${status}, which the document does not know`);
      if (described.content?.["application/json"] === undefined) return;
      assert.equal(headers.get("content-type"), "application/json", where);
      const path = binding.path.replaceAll("~", "~0").replaceAll("/", "~1").replaceAll("{", "%7B").replaceAll("}", "%7D");
      const matches = validator(`/paths/${path}/${binding.verb.toLowerCase()}/responses/${status}/content/application~1json/schema`);
      if (!matches(answer.body)) assert.fail(`${where}\nis not as documented: ${ajv.errorsText(matches.errors)}`);
    },
  };
}

function assertHeaders(headers: Headers, where: string): void {
  assert.equal(headers.get("x-content-type-options"), "nosniff", where);
  assert.equal(headers.get("x-frame-options"), "DENY", where);
  assert.match(headers.get("content-security-policy") ?? "", /^default-src 'none'/, where);
  assert.equal(headers.get("referrer-policy"), "no-referrer", where);
  for (const name of ["server", "x-powered-by"]) assert.equal(headers.get(name), null, where);
  assert.match(headers.get("x-correlation-id") ?? "", /^[\w.-]{8,64}$/, where);
}

function assertProblem({ status, headers, body }: Answer, matches: ValidateFunction, where: string): void {
  assert.equal(headers.get("content-type"), "application/problem+json", where);
  const fits: boolean = matches(body);
  if (!fits) assert.fail(`${where}\nis no problem as documented: ${JSON.stringify(matches.errors)}`);
  const { reason, type, traceId } = body;
  assert.equal(body.status, status, where);
  assert.equal(type, `/docs/errors/${reason}`, where);
  assert.match(traceId, /^[0-9a-f]{32}$/, where);
  const declared = reasons.get(reason);
  assert.ok(declared, `${reason} is declared in a contract: ${where}`);
  assert.equal(status, declared.status, `${reason} has its declared status: ${where}`);
  if (status === 401) assert.match(headers.get("www-authenticate") ?? "", /^Bearer/, where);
  if (status === 405) assert.match(headers.get("allow") ?? "", /^[A-Z, ]+$/, where);
  if (status === 429 || status === 503) assert.ok(Number(headers.get("retry-after")) >= 1, where);
  // Nothing of what is inside: no stack, no SQL, no file.
  assert.doesNotMatch(JSON.stringify(body), /\bat .*\.ts:\d|select .* from |node:internal|postgres/i, where);
}
