import { getOption, hasOption } from "@bufbuild/protobuf";
import type { DescField, DescMessage, DescMethod, DescMethodServerStreaming, DescMethodUnary, DescService } from "@bufbuild/protobuf";
import { MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { http as httpOption } from "@kontor/contracts/gen/google/api/annotations_pb.js";
import type { HttpRule } from "@kontor/contracts/gen/google/api/http_pb.js";
import { access, Allow, event, Idempotency, rest } from "@kontor/contracts/gen/kontor/api/v1/options_pb.js";
import type { Access, Limit, Rest } from "@kontor/contracts/gen/kontor/api/v1/options_pb.js";
import { waitFieldOf } from "./wait-field.ts";

export type Verb = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

/** One way to reach a method over REST. */
export interface HttpBinding {
  readonly verb: Verb;
  /** "/v1/orders/{order}/cancel": each `{field}` is a text field of the request. */
  readonly path: string;
  /** "*" when all fields that are not in the path come in the body; "" when they are query parameters. */
  readonly body: "*" | "";
}

/**
 * `reply`: it is claimed in the transaction of the effect, and the first reply is stored under it. `resource`: it is stored with the resource that the
 * path names. `unneeded`: a repeat changes nothing anyway. `refused`: the edge takes none.
 */
export type KeyUse = "reply" | "resource" | "unneeded" | "refused";

/** What a method's options say. Its reply is one message, or a stream of them. */
export interface MethodContract {
  readonly service: DescService;
  readonly method: DescMethodUnary | DescMethodServerStreaming;
  readonly streams: boolean;
  /** Empty: nobody may call it. */
  readonly allow: readonly Allow[];
  /** The services that may call it as internal; empty: any. */
  readonly callers: readonly string[];
  /** Of a public method: its meaning depends on who calls, so that a token that is not accepted is refused. */
  readonly byCaller: boolean;
  /** How many requests of guests an address may send; "default" for a write that is open to the public and names no limit. */
  readonly guestLimit: Pick<Limit, "requests" | "windowSeconds"> | "default" | undefined;
  readonly rest: Rest | undefined;
  /** Without side effects, so that it may be repeated. A GET that redirects has one: it opens a payment at its provider. */
  readonly reads: boolean;
  /** What becomes of an Idempotency-Key that comes with a call. */
  readonly keys: KeyUse;
  /** The request names the version that its caller has seen. */
  readonly takesVersion: boolean;
  /** Whether a repeat with the same Idempotency-Key does no more than the first call did. */
  readonly repeatableWithKey: boolean;
  /** Whether the edge refuses it without an Idempotency-Key. */
  readonly keyRequired: boolean;
  /** The request's field by which the method waits for a change before it replies. */
  readonly wait: DescField | undefined;
  readonly bindings: readonly HttpBinding[];
}

/** The contracts of a service's methods, in the proto's order. */
export function methodsOf(service: DescService): readonly MethodContract[] {
  return service.methods.map((method) => contractOf(method));
}

const contracts = new WeakMap<DescMethod, MethodContract>();

export function contractOf(method: DescMethod): MethodContract {
  const known = contracts.get(method);
  if (known !== undefined) return known;
  if (method.methodKind !== "unary" && method.methodKind !== "server_streaming")
    throw new Error(`${method.parent.typeName}.${method.name} takes a stream, which no engine carries`);
  const {
    allow = [],
    callers = [],
    byCaller = false,
    guestLimit,
  } = (hasOption(method, access) ? getOption(method, access) : {}) as Partial<Access>;
  const restOption = hasOption(method, rest) ? getOption(method, rest) : undefined;
  const bindings = hasOption(method, httpOption) ? bindingsOf(getOption(method, httpOption)) : [];
  const reads =
    method.idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS ||
    (bindings.length > 0 && bindings.every(({ verb }) => verb === "GET") && (restOption?.redirect ?? "") === "");
  const idempotency = restOption?.idempotency ?? Idempotency.HONOURED;
  const contract: MethodContract = {
    service: method.parent,
    method: method as DescMethodUnary | DescMethodServerStreaming,
    streams: method.methodKind === "server_streaming",
    allow,
    callers,
    byCaller,
    guestLimit: guestLimitOf(method, guestLimit, allow.includes(Allow.PUBLIC) && !reads),
    rest: restOption,
    bindings,
    reads,
    keys: reads || restOption?.rawBody === true ? "unneeded" : keyUses[idempotency],
    takesVersion: !reads && method.input.fields.some(({ name }) => name === "version"),
    repeatableWithKey: idempotency !== Idempotency.NONE,
    keyRequired: idempotency === Idempotency.REQUIRED || idempotency === Idempotency.PER_RESOURCE_REQUIRED,
    wait: waitFieldOf(method, { rest: restOption, reads }),
  };
  checkKeys(contract, idempotency);
  contracts.set(method, contract);
  return contract;
}

function guestLimitOf(method: DescMethod, limit: Limit | undefined, openWrite: boolean): MethodContract["guestLimit"] {
  if (limit === undefined) return openWrite ? "default" : undefined;
  if (limit.requests === 0 || limit.windowSeconds === 0)
    throw new Error(`${method.parent.typeName}.${method.name} has a guest_limit without requests or window_seconds`);
  return limit;
}

const keyUses: Readonly<Record<Idempotency, KeyUse>> = {
  [Idempotency.HONOURED]: "reply",
  [Idempotency.REQUIRED]: "reply",
  [Idempotency.NONE]: "refused",
  [Idempotency.NATURAL]: "unneeded",
  [Idempotency.NATURAL_KEY_REQUIRED]: "unneeded",
  [Idempotency.PER_RESOURCE]: "resource",
  [Idempotency.PER_RESOURCE_REQUIRED]: "resource",
};

/** Throws for a contract by which a key, or a version, would be taken and not looked at. */
function checkKeys({ method, bindings, reads, keys, takesVersion }: MethodContract, idempotency: Idempotency): void {
  const name = `${method.parent.typeName}.${method.name}`;
  if (takesVersion && keys !== "reply" && keys !== "resource")
    throw new Error(`the request of ${name} names a version: its contract must honour an Idempotency-Key`);
  const isWhole = ({ path }: HttpBinding) => method.input.fields.every((field) => path.includes(`{${field.name}}`));
  if (!reads && idempotency === Idempotency.NATURAL && !bindings.every(isWhole))
    throw new Error(`the path of ${name} is not its whole request: a key must be honoured or refused, and not NATURAL`);
}

/** The type of the event whose data this message is: "orders.order.placed". Throws for a message that is no event. */
export function eventTypeOf(schema: DescMessage): string {
  if (!hasOption(schema, event)) throw new Error(`${schema.typeName} has no option (kontor.api.v1.event)`);
  return getOption(schema, event);
}

function bindingsOf(rule: HttpRule): HttpBinding[] {
  const { case: verb, value } = rule.pattern;
  if (verb === undefined || verb === "custom") throw new Error("a route needs one of get, post, put, patch, delete");
  if (rule.body !== "" && rule.body !== "*") throw new Error(`the body of ${value} must be "*" or absent`);
  return [{ verb: verb.toUpperCase() as Verb, path: value, body: rule.body }, ...rule.additionalBindings.flatMap(bindingsOf)];
}
