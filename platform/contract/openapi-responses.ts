import type { DescMessage } from "@bufbuild/protobuf";
import type { HttpBinding, MethodContract } from "./contract.ts";
import type { ApiSchema } from "./openapi-money.ts";
import type { ApiSchemas } from "./openapi-schemas.ts";

/** The messages of a method's successful responses. */
export function responseMessagesOf({ method, rest }: MethodContract): readonly DescMessage[] {
  if (rest?.status === 204 || (rest?.rawAnswer ?? "") !== "" || (rest?.redirect ?? "") !== "") return [];
  if (rest === undefined || rest.outcomes.length === 0) return [method.output];
  return rest.outcomes.map((outcome) => outcomeOf(method.output, outcome.field));
}

function outcomeOf(output: DescMessage, name: string): DescMessage {
  const message = output.fields.find((field) => field.name === name)?.message;
  if (message === undefined) throw new Error(`${output.typeName} has no message ${name} that could be an outcome`);
  return message;
}

/** The responses of a binding, by status. */
export function responsesOf({ method, rest, streams, wait }: MethodContract, binding: HttpBinding, schemas: ApiSchemas): unknown {
  const errors = { "4XX": { $ref: "#/components/responses/Problem" }, "5XX": { $ref: "#/components/responses/Problem" } };
  const status = rest === undefined || rest.status === 0 ? 200 : rest.status;
  if (streams) return { 200: eventStream(schemas.ofMessage(method.output)), 204: { description: "There is nothing more" }, ...errors };
  if (rest !== undefined && rest.redirect !== "")
    return { 303: { description: "Elsewhere", headers: headers({ location: true }) }, ...errors };
  if (rest !== undefined && rest.outcomes.length > 0) {
    const outcomes = new Map<number, { readonly schemas: ApiSchema[]; location: boolean }>();
    for (const outcome of rest.outcomes) {
      const code = outcome.status === 0 ? 200 : outcome.status;
      const known = outcomes.get(code) ?? { schemas: [], location: false };
      outcomes.set(code, known);
      known.schemas.push(schemas.ofMessage(outcomeOf(method.output, outcome.field)));
      known.location ||= outcome.location !== "";
    }
    const responses = [...outcomes].map(([code, { schemas: several, location }]) => {
      const [only] = several;
      return [code, response(code, several.length === 1 && only !== undefined ? only : { oneOf: several }, { location })] as const;
    });
    return { ...Object.fromEntries(responses), ...errors };
  }
  if (status === 204) return { 204: { description: "Done" }, ...errors };
  if (rest !== undefined && rest.rawAnswer !== "")
    return { [status]: { description: meaning(status), content: { "*/*": { schema: {} } } }, ...errors };
  const tagged = binding.verb === "GET" && status === 200;
  return {
    [status]: response(status, schemas.ofMessage(method.output), {
      location: (rest?.location ?? "") !== "",
      tagged,
      waits: wait !== undefined,
    }),
    ...(tagged && { 304: { description: "Not changed since the response whose ETag was sent in If-None-Match" } }),
    ...errors,
  };
}

/** Server-sent events: the schema is that of each event as a client receives it, whose name is "message" when it was sent without one. */
function eventStream(message: ApiSchema): unknown {
  const event = (name: string, data: ApiSchema) => ({
    type: "object",
    properties: {
      event: { const: name },
      id: { type: "string" },
      data: { type: "string", contentMediaType: "application/json", contentSchema: data },
    },
    required: name === "message" ? ["data"] : ["event", "data"],
  });
  const schema = {
    oneOf: [
      event("message", message),
      event("end", { type: "object", maxProperties: 0 }),
      event("problem", { $ref: "#/components/schemas/Problem" }),
    ],
  };
  const description =
    "Server-sent events. One without a name has the JSON of a change as its data. `end` is the last: nothing can follow, and the client closes. " +
    "`problem` says why the stream ends early. Connecting again with Last-Event-ID goes on after that event.";
  return { description, content: { "text/event-stream": { schema } } };
}

/** Which headers a response has. */
interface ResponseHeaders {
  readonly location?: boolean;
  readonly tagged?: boolean;
  readonly waits?: boolean;
}

function response(status: number, schema: ApiSchema, sent: ResponseHeaders): unknown {
  return {
    description: meaning(status),
    ...((sent.location === true || sent.tagged === true) && { headers: headers(sent) }),
    content: { "application/json": { schema } },
  };
}

function headers({ location = false, tagged = false, waits = false }: ResponseHeaders): unknown {
  const schema = { type: "string" };
  return {
    ...(location && { Location: { description: "Where it is", schema } }),
    ...(tagged && { ETag: { description: "A hash of the response", schema } }),
    ...(waits && { "Preference-Applied": { description: "The wait that was preferred, when it was honoured", schema } }),
  };
}

function meaning(status: number): string {
  return status === 201 ? "Created" : status === 202 ? "Accepted; it goes on" : "Done";
}
