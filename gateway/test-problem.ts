import assert from "node:assert/strict";
import { problemSchema } from "@kontor/platform/contract/problem-schema.ts";

/** Asserts the required fields of the published schema, and that there are no others. */
function assertShape(value: object, { required, properties }: { readonly required: readonly string[]; readonly properties: object }): void {
  const keys = Object.keys(value);
  for (const name of required) assert.ok(keys.includes(name), `${name} is missing`);
  for (const key of keys) assert.ok(key in properties, `${key} is not in the schema`);
}

/** Asserts that a response is a problem, with the headers that every response has. */
export async function problemIn(response: Response, status: number, reason: string) {
  const body = (await response.json()) as Record<string, unknown>;
  assert.equal(response.status, status, JSON.stringify(body));
  assert.equal(response.headers.get("content-type"), "application/problem+json");
  assertShape(body, problemSchema);
  for (const error of (body["errors"] ?? []) as object[]) assertShape(error, problemSchema.properties.errors.items);
  assert.deepEqual([body["status"], body["reason"], body["type"]], [status, reason, `/docs/errors/${reason}`]);
  assert.match(String(body["traceId"]), /^[0-9a-f]{32}$/);
  assertSecured(response);
  return body;
}

export function assertSecured({ headers }: Response): void {
  assert.equal(headers.get("x-content-type-options"), "nosniff");
  assert.equal(headers.get("x-frame-options"), "DENY");
  assert.match(headers.get("content-security-policy") ?? "", /^default-src 'none'.*frame-ancestors 'none'/);
  assert.equal(headers.get("referrer-policy"), "no-referrer");
  assert.equal(headers.get("server"), null);
  assert.equal(headers.get("x-powered-by"), null);
  assert.match(headers.get("x-correlation-id") ?? "", /^[\w.-]{8,64}$/);
}
