import type { IncomingMessage } from "node:http";
import { Allow } from "@kontor/contracts/gen/kontor/api/v1/options_pb.js";
import type { HttpBinding } from "@kontor/platform/contract/contract.ts";
import { requireIdentity, requireJson, requireNoBody } from "../edge/body.ts";
import type { Target } from "../edge/target.ts";
import { streamFields } from "./event-stream.ts";
import type { StreamFields } from "./event-stream.ts";
import { representationWriter } from "./representation.ts";
import type { Represent } from "./representation.ts";
import { requestReader } from "./request-message.ts";
import type { ReadRequest } from "./request-message.ts";
import { responseWriter } from "./response-writer.ts";
import type { WriteResponse } from "./response-writer.ts";
import { waitFields } from "./waiting-read.ts";
import type { WaitFields } from "./waiting-read.ts";

/** A method at one verb and path, as its contract says. */
export interface RestRoute {
  readonly target: Target;
  readonly verb: HttpBinding["verb"];
  /** "/v1/orders/{order}". */
  readonly template: string;
  readonly servesHead: boolean;
  /** Whether nothing changes by it: GET. */
  readonly readOnly: boolean;
  /** Refuses a body of another form than the method takes. */
  readonly checkBody: (request: IncomingMessage) => void;
  readonly read: ReadRequest;
  readonly write: WriteResponse;
  /** Writes the response to a read. */
  readonly represent: Represent;
  /** For a method that streams its responses. */
  readonly stream: StreamFields | undefined;
  /** For a method whose clients may wait for a change. */
  readonly wait: WaitFields | undefined;
  readonly cacheControl: string;
}

/** Every HTTP binding of every target. Throws for contracts that cannot be routed. */
export function restRoutes(targets: Iterable<Target>): readonly RestRoute[] {
  return [...targets].flatMap((target) => target.contract.bindings.map((binding) => restRoute(target, binding)));
}

function restRoute(target: Target, binding: HttpBinding): RestRoute {
  const { contract, isPublic } = target;
  const { rest, allow, method, streams } = contract;
  // A path that no client may call is a mistake in the contract; a response of 403 would hide it.
  if (allow.every((who) => who === Allow.INTERNAL))
    throw new Error(`${method.parent.typeName}.${method.name} has a path but no client of the gateway may call it`);
  const names = new Set(method.input.fields.map((field) => field.name));
  for (const [, name = ""] of binding.path.matchAll(/\{([^}]+)\}/g))
    if (!names.has(name)) throw new Error(`${binding.path}: ${method.input.typeName} has no field ${name}`);
  const readOnly = binding.verb === "GET";
  const write = responseWriter(contract);
  const wait = waitFields(contract);
  const cacheControl = isPublic && rest !== undefined && rest.cacheControl !== "" ? rest.cacheControl : "no-store";
  return {
    target,
    verb: binding.verb,
    template: binding.path,
    // A GET that redirects may have an effect, which HEAD must not have.
    servesHead: readOnly && !streams && (rest?.redirect ?? "") === "",
    readOnly,
    checkBody: rest?.rawBody === true ? requireIdentity : binding.body === "*" ? requireJson : requireNoBody,
    read: requestReader(contract, binding),
    write,
    // What everybody gets alike is what services cache.
    represent: representationWriter(write, { keeps: cacheControl !== "no-store", versionOf: wait?.versionOf }),
    stream: streams ? streamFields(contract) : undefined,
    wait,
    cacheControl,
  };
}
