import type { DescMessage, DescService } from "@bufbuild/protobuf";
import { Allow } from "@kontor/contracts/gen/kontor/api/v1/options_pb.js";
import { keyPattern } from "../call/idempotency-key.ts";
import { methodsOf } from "./contract.ts";
import type { HttpBinding, KeyUse, MethodContract } from "./contract.ts";
import { alternativesOf, isOutputOnly, isUpdateMask, rulesOf } from "./element.ts";
import { textReadersOf } from "./json-decode.ts";
import { messagesWithin } from "./message-schema.ts";
import { apiSchemas } from "./openapi-schemas.ts";
import type { ApiSchema } from "./openapi-money.ts";
import type { ApiSchemas } from "./openapi-schemas.ts";
import { responseMessagesOf, responsesOf } from "./openapi-responses.ts";
import { problemSchema } from "./problem-schema.ts";
import { isRequired } from "./rule-schema.ts";

export interface OpenApiInit {
  readonly services: readonly DescService[];
  /** Comments by fully qualified name, as `contracts/gen/docs.json` has them. */
  readonly docs: Readonly<Record<string, string>>;
  readonly info: {
    readonly title: string;
    readonly version: string;
    /** Where the API is: "https://shop.example". */ readonly url: string;
  };
}

const verbs = ["GET", "PUT", "POST", "DELETE", "PATCH"] as const;

interface Operation {
  readonly contract: MethodContract;
  readonly binding: HttpBinding;
  /** Which of the method's bindings it is. */
  readonly index: number;
}

/**
 * The OpenAPI 3.1 document of what the services offer over REST: every binding of every method that is public.
 * The same input gives the same document, byte for byte.
 */
export function openApiDocument({ services, docs, info }: OpenApiInit): Readonly<Record<string, unknown>> {
  const sorted = services.toSorted((a, b) => (a.typeName < b.typeName ? -1 : 1));
  const operations = sorted.flatMap((service) => methodsOf(service).filter(isPublished).flatMap(operationsOf));
  const inRequests = new Set<DescMessage>();
  const inResponses = new Set<DescMessage>();
  for (const { contract } of operations) {
    for (const message of messagesWithin(contract.method.input))
      if (message !== contract.method.input && message !== contract.wait?.message) inRequests.add(message);
    for (const message of responseMessagesOf(contract)) messagesWithin(message, inResponses);
  }
  const bodies = operations.filter(hasNamedBody).map(({ contract }) => contract.method.input);
  for (const message of bodies) messagesWithin(message, inRequests);
  const requests = operations.map(({ contract }) => contract.method.input);
  const schemas = apiSchemas({ inRequests, inResponses, requests, docs });

  const paths = new Map<string, Map<string, unknown>>();
  for (const operation of operations) {
    const path = paths.get(operation.binding.path) ?? new Map<string, unknown>();
    paths.set(operation.binding.path, path);
    path.set(operation.binding.verb, describe(operation, schemas, docs));
  }
  return {
    openapi: "3.1.0",
    info: { title: info.title, version: info.version },
    servers: [{ url: info.url }],
    tags: sorted
      .filter((service) => operations.some(({ contract }) => contract.service === service))
      .map((service) => ({ name: tagOf(service), ...(docs[service.typeName] !== undefined && { description: docs[service.typeName] }) })),
    paths: Object.fromEntries(
      [...paths]
        .toSorted(([a], [b]) => (a < b ? -1 : 1))
        .map(([path, item]) => [
          path,
          Object.fromEntries(verbs.filter((verb) => item.has(verb)).map((verb) => [verb.toLowerCase(), item.get(verb)])),
        ]),
    ),
    components: {
      schemas: { ...schemas.components(), Problem: problemSchema },
      responses: {
        Problem: {
          description: "What was wrong, for programs and for people",
          content: { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } },
        },
      },
      securitySchemes: { bearer: { type: "http", scheme: "bearer", bearerFormat: "JWT" } },
    },
  };
}

/** Whether a client may call it: someone other than a service. */
function isPublished({ allow }: MethodContract): boolean {
  return allow.some((who) => who !== Allow.INTERNAL && who !== Allow.ALLOW_UNSPECIFIED);
}

function operationsOf(contract: MethodContract): Operation[] {
  return contract.bindings.map((binding, index) => ({ contract, binding, index }));
}

function tagOf(service: DescService): string {
  return service.name.replace(/Service$/, "");
}

function pathNames(path: string): ReadonlySet<string> {
  return new Set([...path.matchAll(/\{([^}]+)\}/g)].map(([, name = ""]) => name));
}

/** Whether the body is the whole request, so that its component is used as it is. */
function hasNamedBody({ contract, binding }: Operation): boolean {
  return (
    binding.body === "*" && contract.rest?.rawBody !== true && pathNames(binding.path).size === 0 && contract.method.input.fields.length > 0
  );
}

function describe(operation: Operation, schemas: ApiSchemas, docs: Readonly<Record<string, string>>): unknown {
  const { contract, binding, index } = operation;
  const { service, method } = contract;
  const doc = docs[`${service.typeName}.${method.name}`];
  const body = requestBody(operation, schemas);
  const roles = contract.allow.filter((who) => who !== Allow.INTERNAL).map((who) => Allow[who]);
  return {
    operationId: `${service.name}_${method.name}${index === 0 ? "" : `_${index + 1}`}`,
    tags: [tagOf(service)],
    ...(doc !== undefined && { summary: doc.split(/(?<=\.)\s/)[0], description: doc }),
    ...(method.deprecated && { deprecated: true }),
    parameters: parametersOf(operation, schemas),
    ...(body !== undefined && { requestBody: body }),
    responses: responsesOf(contract, binding, schemas),
    security: securityOf(contract),
    "x-allow": roles,
  };
}

function securityOf({ allow, byCaller }: MethodContract): readonly unknown[] {
  const bearer = { bearer: [] };
  if (!allow.includes(Allow.PUBLIC)) return [bearer];
  return byCaller || allow.some((who) => who !== Allow.PUBLIC && who !== Allow.INTERNAL) ? [{}, bearer] : [];
}

function parametersOf({ contract, binding }: Operation, schemas: ApiSchemas): readonly unknown[] {
  const { input } = contract.method;
  const inPath = pathNames(binding.path);
  const parameters: unknown[] = [];
  for (const name of inPath) {
    const field = input.fields.find((candidate) => candidate.name === name || candidate.jsonName === name);
    if (field === undefined) throw new Error(`${input.typeName} has no field ${name}, which ${binding.path} needs`);
    parameters.push(parameter("path", name, schemas.ofField(field), true));
  }
  if (binding.body === "") {
    const texts = textReadersOf(input);
    for (const field of input.fields) {
      if (inPath.has(field.name) || inPath.has(field.jsonName) || !texts.has(field.jsonName) || isOutputOnly(field) || isUpdateMask(field))
        continue;
      if (contract.rest?.rawBody === true && (field.name === "body" || field.name === "headers")) continue;
      parameters.push(parameter("query", field.jsonName, schemas.ofField(field), rulesOf(field)?.required === true));
    }
  }
  if (binding.verb !== "GET" && contract.keys !== "refused" && contract.rest?.rawBody !== true) {
    parameters.push({
      name: "Idempotency-Key",
      in: "header",
      required: contract.keyRequired,
      description: keyDescriptions[contract.keys],
      schema: { type: "string", pattern: keyPattern },
    });
  }
  if (contract.wait !== undefined) parameters.push(preferParameter);
  const resumed = input.fields.find(({ name }) => name === contract.rest?.resumeBy);
  if (contract.streams && resumed !== undefined) parameters.push(lastEventIdParameter(resumed.jsonName, schemas.ofField(resumed)));
  return parameters;
}

const keyDescriptions: Readonly<Record<KeyUse, string>> = {
  reply:
    "A repeat with the same key and body gets the first response again. With another body, or for another resource, the key is refused.",
  resource:
    "A repeat with the same key and body has no second effect, and gets the resource as it is now. With another body the key is refused.",
  unneeded: "A repeat changes nothing, with a key and without.",
  refused: "",
};

const preferParameter = {
  name: "Prefer",
  in: "header",
  required: false,
  description:
    "wait=10: the response comes when the resource has changed, or after so many seconds, with what is there then. 1 to 10; more is cut to 10. " +
    "With If-None-Match the wait ends as soon as the version is another than that ETag's. Without it, a resource for which nothing is awaited is " +
    "responded with at once, and any other after its next change.",
  schema: { type: "string", examples: ["wait=10"] },
};

function lastEventIdParameter(query: string, { description: _, ...schema }: ApiSchema): unknown {
  const description = `The id of the last event that the client has seen, to go on after it; it counts instead of ${query}. EventSource sends it by itself.`;
  return { name: "Last-Event-ID", in: "header", required: false, description, schema };
}

function parameter(location: "path" | "query", name: string, { description, ...schema }: ApiSchema, required: boolean): unknown {
  return { name, in: location, required, ...(description !== undefined && { description }), schema };
}

function requestBody(operation: Operation, schemas: ApiSchemas): unknown {
  const { contract, binding } = operation;
  const { input } = contract.method;
  if (contract.rest?.rawBody === true) return { content: { "*/*": { schema: {} } } };
  if (binding.body === "") return undefined;
  if (hasNamedBody(operation)) return jsonBody(schemas.ofMessage(input), input);
  const inPath = pathNames(binding.path);
  const omitted = new Set(input.fields.filter((field) => inPath.has(field.name) || inPath.has(field.jsonName)).map((field) => field.name));
  return input.fields.every((field) => omitted.has(field.name) || isUpdateMask(field))
    ? undefined
    : jsonBody(schemas.without(input, omitted), input, omitted);
}

function jsonBody(schema: ApiSchema, input: DescMessage, omitted: ReadonlySet<string> = new Set()): unknown {
  const required = alternativesOf(input).length > 0 || input.fields.some((field) => !omitted.has(field.name) && isRequired(field));
  return { required, content: { "application/json": { schema } } };
}
