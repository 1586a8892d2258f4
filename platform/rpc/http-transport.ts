import type { IncomingMessage, OutgoingHttpHeaders } from "node:http";
import { performance } from "node:perf_hooks";
import { setTimeout as delay } from "node:timers/promises";
import type { Message } from "@bufbuild/protobuf";
import type { MethodContract } from "../contract/contract.ts";
import { jsonCodec } from "../contract/json.ts";
import type { JsonCodec } from "../contract/json.ts";
import { refuse } from "../errors/refusal.ts";
import type { Refusal } from "../errors/refusal.ts";
import type { Call } from "../call/call.ts";
import { formatTraceparent } from "../call/trace.ts";
import { createAgents } from "./http-agents.ts";
import { linesOf, textOf } from "./http-body.ts";
import { Exchange } from "./http-exchange.ts";
import { Endpoints } from "./http-endpoints.ts";
import type { Endpoint } from "./http-endpoints.ts";
import { decodeProblem, mediaTypes, pathOf } from "./http-wire.ts";
import type { StreamLine } from "./http-wire.ts";
import { patienceMs, TransportFailure } from "./transport.ts";
import type { Transport, TransportOptions } from "./transport.ts";
import { answerHeaders, encodeFacts, messageBytesMax, wireHeaders } from "./wire-call.ts";

const pauseMs = 100;

interface Asked {
  readonly path: string;
  readonly body: string;
  readonly bytes: number;
  readonly call: Call;
}

/** Calls to one service as JSON over HTTP: to each address in turn, leaving out those that cannot be reached. */
export function createHttpTransport({ service, addresses, callers, tls, heard }: TransportOptions): Transport {
  const endpoints = new Endpoints(addresses);
  const agents = createAgents(service, tls);
  const paths = new WeakMap<MethodContract, string>();
  const patientUntilMs = performance.now() + patienceMs;
  let answered = false;

  function headersOf(call: Call, bytes: number): OutgoingHttpHeaders {
    const token = callers.token(call.caller);
    return {
      "content-type": mediaTypes.json,
      "content-length": bytes,
      [wireHeaders.service]: service,
      [wireHeaders.caller]: call.caller,
      [wireHeaders.facts]: encodeFacts(call),
      [wireHeaders.trace]: formatTraceparent(call.trace),
      ...(Number.isFinite(call.deadlineMs) && { [wireHeaders.timeout]: Math.max(0, Math.floor(call.remainingMs())) }),
      ...(token !== undefined && { [wireHeaders.token]: token }),
    };
  }

  /** Asks one endpoint after the other until one answers with a message, or refuses. Who was not asked at all is no reason to give up. */
  async function ask(method: MethodContract, request: Message, call: Call): Promise<{ exchange: Exchange; response: IncomingMessage }> {
    const body = jsonCodec(method.method.input).encode(request);
    const bytes = Buffer.byteLength(body);
    if (bytes > messageBytesMax) throw tooLarge();
    let path = paths.get(method);
    if (path === undefined) paths.set(method, (path = pathOf(method)));
    for (let tries = 1; ; tries++) {
      const endpoint = endpoints.next();
      try {
        const begun = await begin(endpoint, { path, body, bytes, call });
        endpoints.reached(endpoint);
        return begun;
      } catch (error) {
        if (!(error instanceof TransportFailure && error.notExecuted)) throw error;
        endpoints.lost(endpoint);
        if (tries < endpoints.count) continue;
        if (answered || performance.now() > patientUntilMs || call.remainingMs() <= pauseMs || call.callerSignal?.aborted === true)
          throw error;
        await delay(pauseMs);
      }
    }
  }

  async function begin({ host, port }: Endpoint, { path, body, bytes, call }: Asked) {
    const request = { agent: agents.current(), host, port, path };
    const exchange = new Exchange({ secure: tls !== undefined, request, headers: headersOf(call, bytes), body, call });
    let response: IncomingMessage | undefined;
    try {
      response = await exchange.response;
      answered = true;
      const instance = response.headers[answerHeaders.instance];
      if (heard !== undefined && typeof instance === "string") heard(instance);
      if (response.statusCode !== 200) throw await failureIn(response);
      return { exchange, response };
    } catch (error) {
      const told = exchange.failure(error);
      exchange.end(response);
      throw told;
    }
  }

  return {
    async unary(method, request, call) {
      const { exchange, response } = await ask(method, request, call);
      try {
        return decoded(jsonCodec(method.method.output), JSON.parse(await textOf(response, tooLarge)));
      } catch (error) {
        throw exchange.failure(error);
      } finally {
        exchange.end(response);
      }
    },
    async *stream(method, request, call) {
      const { exchange, response } = await ask(method, request, call);
      const codec = jsonCodec(method.method.output);
      let end: Refusal | "whole" | undefined;
      try {
        for await (const text of linesOf(response)) {
          const line = JSON.parse(text) as StreamLine;
          if (line.message === undefined) end = decodeProblem(line.end) ?? "whole";
          else yield decoded(codec, line.message);
        }
      } catch (error) {
        throw exchange.failure(error);
      } finally {
        exchange.end(response);
      }
      if (end === undefined) throw new TransportFailure("the stream was cut off");
      if (end !== "whole") throw end;
    },
    close: () => agents.close(),
  };
}

/** A message that is too large is so the next time too. */
const tooLarge = () => refuse({ reason: "INTERNAL_ERROR", code: "internal", cause: new Error("a message is too large") });

/** The callee's refusal, or what else an answer that is not one says. */
async function failureIn(response: IncomingMessage): Promise<Error> {
  const text = await textOf(response, tooLarge);
  const notExecuted = response.headers[answerHeaders.notExecuted] !== undefined;
  const refusal = response.headers["content-type"] === mediaTypes.problem ? decodeProblem(JSON.parse(text)) : undefined;
  if (refusal !== undefined && !notExecuted) return refusal;
  return new TransportFailure(`the answer was ${response.statusCode}`, { notExecuted });
}

/** An answer that is none is the callee's fault, and no refusal of what was asked. */
function decoded(codec: JsonCodec, json: unknown): Message {
  try {
    return codec.decode(json, { from: "server" });
  } catch (error) {
    throw new TransportFailure(`the answer is none: ${String(error)}`);
  }
}
