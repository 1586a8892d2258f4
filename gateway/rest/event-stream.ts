import type { IncomingMessage, ServerResponse } from "node:http";
import type { Message } from "@bufbuild/protobuf";
import type { MethodContract } from "@kontor/platform/contract/contract.ts";
import type { Client } from "@kontor/platform/rpc/fair-share.ts";
import type { OpenStreams } from "../edge/open-streams.ts";

/** Which fields of a stream's messages server-sent events use. */
export interface StreamFields {
  /** The id of an event, which a client that lost its connection sends back. Empty when the contract names none. */
  readonly idOf: (message: Message) => string;
  /** The query parameter that takes the id of the last event; undefined when there is none. */
  readonly resumeBy: string | undefined;
}

/** Throws for a contract that names fields which do not exist. */
export function streamFields({ method, rest }: MethodContract): StreamFields {
  const field = (fields: readonly { readonly name: string; readonly localName: string }[], name: string) => {
    const found = fields.find((one) => one.name === name);
    if (found === undefined) throw new Error(`${method.name} has no field ${name}`);
    return found;
  };
  const id = rest === undefined || rest.streamId === "" ? undefined : field(method.output.fields, rest.streamId).localName;
  const resume = rest === undefined || rest.resumeBy === "" ? undefined : field(method.input.fields, rest.resumeBy);
  return {
    idOf: (message) => (id === undefined ? "" : String((message as unknown as Readonly<Record<string, unknown>>)[id])), // a message's fields are its properties
    resumeBy: resume?.localName,
  };
}

/** The query with the id of the last event that the client has seen, which EventSource sends in a header. */
export function resumedQuery(query: string, resumeBy: string | undefined, lastEventId: string | string[] | undefined): string {
  if (resumeBy === undefined || typeof lastEventId !== "string" || lastEventId === "") return query;
  const parameters = new URLSearchParams(query);
  parameters.set(resumeBy, lastEventId);
  return parameters.toString();
}

const keepAliveMs = 15_000;
/** How long to wait for the first event before the response begins without one. */
const firstMs = 50;

interface ServedStream {
  /** Whose share of the streams it takes. */
  readonly client: Client;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Begins the response: 200 with these headers. */
  readonly begin: (headers: readonly string[]) => void;
  /** Responds that there are no (more) events: a browser does not connect again. */
  readonly empty: () => void;
  readonly open: (signal: AbortSignal) => AsyncIterable<Message>;
  readonly idOf: (message: Message) => string;
  readonly encode: (message: Message) => string;
  /** What is sent for an error after the response has begun, as JSON. */
  readonly problem: (error: unknown) => string;
}

/** Streams of services as server-sent events, each as fast as its client reads. */
export class EventStreams {
  readonly #streams: OpenStreams;

  constructor(streams: OpenStreams) {
    this.#streams = streams;
  }

  /** Rejects with an error that occurs before the response begins; a later one is sent as an event. */
  async serve({ client, request, response, begin, empty, open, idOf, encode, problem }: ServedStream): Promise<void> {
    const ending = this.#streams.open(response, client);
    const messages = open(ending.signal)[Symbol.asyncIterator]();
    try {
      let next = messages.next();
      const first = await Promise.race([next, later(firstMs)]);
      if (first?.done === true) return empty();
      begin(["Content-Type", "text/event-stream", "Cache-Control", "no-store", "X-Accel-Buffering", "no"]);
      const keepAlive = setInterval(() => response.write(":\n\n"), keepAliveMs);
      try {
        for (let result = await next; result.done !== true; result = await next) {
          const id = idOf(result.value);
          await write(response, `${id === "" ? "" : `id: ${id}\n`}data: ${encode(result.value)}\n\n`);
          next = messages.next();
        }
        response.end("event: end\ndata: {}\n\n");
      } catch (error) {
        // When the client disconnects or the gateway stops, the stream just ends.
        if (ending.signal.aborted) response.end();
        else response.end(`event: problem\ndata: ${problem(error)}\n\n`);
      } finally {
        clearInterval(keepAlive);
      }
    } finally {
      this.#streams.close(ending);
      // The signal ends what it was waiting for, and that outcome does not matter.
      messages.return?.().catch(() => undefined);
    }
    request.resume();
  }
}

function later(ms: number): Promise<undefined> {
  return new Promise((resolve) => setTimeout(resolve, ms, undefined));
}

/** Resolves when the client can take more, or has disconnected. */
function write(response: ServerResponse, text: string): Promise<void> | undefined {
  if (response.write(text) || response.destroyed) return undefined;
  return new Promise((resolve) => {
    const onReady = () => {
      response.off("drain", onReady).off("close", onReady);
      resolve();
    };
    response.on("drain", onReady).on("close", onReady);
  });
}
