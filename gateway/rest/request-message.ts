import type { IncomingHttpHeaders } from "node:http";
import type { Message } from "@bufbuild/protobuf";
import type { HttpBinding, MethodContract } from "@kontor/platform/contract/contract.ts";
import { jsonCodec } from "@kontor/platform/contract/json.ts";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import { parseJson } from "../edge/body.ts";

export interface RequestContent {
  /** The path's parameters by their names in the template. */
  readonly path: Readonly<Record<string, string>>;
  /** What follows the question mark, undecoded; empty when there is none. */
  readonly query: string;
  readonly body: Buffer | undefined;
  readonly headers: IncomingHttpHeaders;
}

/** Builds a method's request message from an HTTP request. Refuses `INVALID_REQUEST` with the fields. */
export type ReadRequest = (content: RequestContent) => Message;

/** The reader for one binding, with everything that the contract says decided beforehand. */
export function requestReader({ method, rest }: MethodContract, { verb, body: bodyRule }: HttpBinding): ReadRequest {
  const codec = jsonCodec(method.input);
  if (rest?.rawBody === true) {
    return ({ path, body, headers }) =>
      Object.assign(codec.decodeText(path), { body: new Uint8Array(body ?? []), headers: forService(headers) });
  }
  if (bodyRule === "*") {
    const fillMask = verb === "PATCH";
    return ({ path, query, body }) => {
      if (query !== "") refuseQuery(query);
      return codec.decode(body === undefined ? undefined : parseJson(body), { path, fillMask });
    };
  }
  return ({ path, query }) => (query === "" ? codec.decodeText(path) : codec.decodeQuery(new URLSearchParams(query), path));
}

/** Credentials are for the edge: a service gets the authenticated user, never the secret. */
const edgeOnly = new Set(["authorization", "cookie", "proxy-authorization"]);

function forService(headers: IncomingHttpHeaders): Record<string, string> {
  const passed: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers))
    if (value !== undefined && !edgeOnly.has(name)) passed[name] = Array.isArray(value) ? value.join(", ") : value;
  return passed;
}

function refuseQuery(query: string): never {
  const fields = [...new Set(new URLSearchParams(query).keys())]
    .slice(0, 20)
    .map((field) => ({ field, reason: "UNKNOWN_FIELD", message: "is not a parameter that is known here" }));
  throw refuse({ reason: "INVALID_REQUEST", code: "invalid_argument", message: "This route takes no query parameters", fields });
}
