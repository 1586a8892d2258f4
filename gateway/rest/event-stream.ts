import type { IncomingMessage, ServerResponse } from "node:http";
import type { Message } from "@bufbuild/protobuf";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import type { MethodContract } from "@kontor/platform/contract/contract.ts";

/** What a stream's answers are as server-sent events. */
export interface StreamWords {
  /** The id of an event: what a client that lost its connection sends back. Empty when the contract names none. */
  readonly idOf: (message: Message) => string;
  /** The query parameter that takes it up; undefined when there is none. */
  readonly resumeBy: string | undefined;
}

/** Throws for a contract that names fields which are not there. */
export function streamWords({ method, rest }: MethodContract): StreamWords {
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
export function resumed(query: string, { resumeBy }: StreamWords, lastEventId: string | string[] | undefined): string {
  if (resumeBy === undefined || typeof lastEventId !== "string" || lastEventId === "") return query;
  const parameters = new URLSearchParams(query);
  parameters.set(resumeBy, lastEventId);
  return parameters.toString();
}

/** How long a stream may be open at the edge: then its client connects again, where it was. */
export const streamMs = 300_000;
const keepAliveMs = 15_000;
/** How long the first event is waited for before the answer begins without one. */
const firstMs = 50;
const streamsMax = 2_000;

interface Streamed {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Begins the answer: 200 with these headers. */
  readonly begin: (headers: readonly string[]) => void;
  /** Answers that there is nothing (more): a browser does not connect again. */
  readonly nothing: () => void;
  readonly open: (signal: AbortSignal) => AsyncIterable<Message>;
  readonly idOf: (message: Message) => string;
  readonly encode: (message: Message) => string;
  /** What a client is told of an error after the answer has begun, as JSON. */
  readonly problem: (error: unknown) => string;
}

/** Streams of services as server-sent events: as many as there may be, each as fast as its client reads. */
export class EventStreams {
  readonly #open = new Set<AbortController>();

  /** Rejects with what went wrong before the answer began; after that the client is told in the stream. */
  async serve({ request, response, begin, nothing, open, idOf, encode, problem }: Streamed): Promise<void> {
    if (this.#open.size >= streamsMax)
      throw refuse({ reason: "OVERLOADED", code: "unavailable", message: "Too many streams are open; try again", retryAfterMs: 5_000 });
    const ending = new AbortController();
    const gone = () => ending.abort();
    this.#open.add(ending);
    response.once("close", gone);
    const messages = open(ending.signal)[Symbol.asyncIterator]();
    try {
      let next = messages.next();
      const first = await Promise.race([next, later(firstMs)]);
      if (first?.done === true) return nothing();
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
        // A client that went, and a gateway that stops, end the stream without a word.
        if (ending.signal.aborted) response.end();
        else response.end(`event: problem\ndata: ${problem(error)}\n\n`);
      } finally {
        clearInterval(keepAlive);
      }
    } finally {
      this.#open.delete(ending);
      response.off("close", gone);
      ending.abort();
      // What it was waiting for ends with the signal; nobody is there to be told how.
      messages.return?.().catch(() => undefined);
    }
    request.resume();
  }

  /** Ends all, so that their clients connect elsewhere. */
  end(): void {
    for (const stream of this.#open) stream.abort();
  }
}

function later(ms: number): Promise<undefined> {
  return new Promise((resolve) => setTimeout(resolve, ms, undefined));
}

/** Resolves when the client has room for more, or is gone. */
function write(response: ServerResponse, text: string): Promise<void> | undefined {
  if (response.write(text) || response.destroyed) return undefined;
  return new Promise((resolve) => {
    const go = () => {
      response.off("drain", go).off("close", go);
      resolve();
    };
    response.on("drain", go).on("close", go);
  });
}
