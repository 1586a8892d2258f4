import { toBinary } from "@bufbuild/protobuf";
import { methodsOf } from "../../contract/contract.ts";
import type { MethodContract } from "../../contract/contract.ts";
import { acceptCallOf, NotServedHere } from "../accept-call.ts";
import type { Parties } from "../accept-call.ts";
import { messageCodec } from "../connect/message-codec.ts";
import { connectPath } from "../connect/read-request.ts";
import { defaultTimeoutMs } from "../rpc-server.ts";
import type { RpcServerOptions } from "../rpc-server.ts";
import type { ServerCalls } from "../server-calls.ts";
import { messageBytesMax } from "../wire-call.ts";
import { encodeRefusal } from "../wire-problem.ts";
import { Bodies } from "./bodies.ts";
import type { Carrier } from "./carrier.ts";
import { decodeHead, frameKind, FrameReader, nothing } from "./frames.ts";
import type { CallHead, Frame } from "./frames.ts";
import { Outbox } from "./outbox.ts";

export interface ServerCallStreamOptions {
  readonly carrier: Carrier;
  /** Who calls on it: authenticated. */
  readonly parties: Parties;
  readonly server: Pick<RpcServerOptions, "methods">;
  readonly calls: ServerCalls;
  /** By path. */
  readonly methods: ReadonlyMap<string, MethodContract>;
}

const notExecutedHead = Buffer.of(1);
const failedHead = Buffer.of(0);

/** The methods that call streams carry, by path: the unary ones. */
export function unaryMethods(calls: ServerCalls): ReadonlyMap<string, MethodContract> {
  const methods = [...calls.contracts()].flatMap((contract) => methodsOf(contract)).filter(({ streams }) => !streams);
  return new Map(methods.map((method) => [connectPath(method), method]));
}

/**
 * The callee's side of a call stream: performs each call as if it had come alone, and sends each reply when it is there. While the caller does not read
 * replies, no more calls are read. When the server stops, the caller is told, and the stream ends when the caller has ended it.
 */
export class ServerCallStream {
  readonly #options: ServerCallStreamOptions;
  readonly #outbox: Outbox;
  readonly #frames = new FrameReader();
  readonly #bodies = new Bodies();
  readonly #running = new Map<number, AbortController>();
  readonly #forget: () => void;
  /** The caller makes no more calls. */
  #ended = false;

  constructor(options: ServerCallStreamOptions) {
    this.#options = options;
    const { stream } = options.carrier;
    this.#outbox = new Outbox(stream, (blocked) => void (blocked ? stream.pause() : stream.resume()));
    this.#forget = options.calls.onStopping(() => this.#send(frameKind.stopping, 0, nothing, nothing));
    stream.on("data", (chunk: Buffer) => this.#receive(chunk));
    stream.on("end", () => {
      this.#ended = true;
      this.#endWhenIdle();
    });
    stream.on("error", () => this.cancelled());
    stream.on("close", () => this.cancelled());
  }

  /** The caller has disconnected. */
  cancelled(): void {
    this.#forget();
    for (const abort of this.#running.values()) abort.abort();
    this.#running.clear();
  }

  #receive(chunk: Buffer): void {
    try {
      for (const frame of this.#frames.read(chunk)) this.#take(frame);
    } catch {
      // What is no frame of ours: nothing after it can be understood.
      this.cancelled();
      this.#options.carrier.cut();
    }
  }

  #take({ kind, call, content }: Frame): void {
    switch (kind) {
      case frameKind.part:
        return this.#bodies.add(call, content);
      case frameKind.call: {
        const { head, rest } = decodeHead(content);
        return this.#begin(call, head, this.#bodies.take(call, rest));
      }
      case frameKind.cancel:
        this.#bodies.drop(call);
        return this.#running.get(call)?.abort();
      default:
        throw new Error(`a frame of kind ${kind}`);
    }
  }

  #begin(call: number, head: CallHead, body: Buffer): void {
    if (this.#running.has(call)) throw new Error(`two calls ${call}`);
    const abort = new AbortController();
    this.#running.set(call, abort);
    this.#perform(head, body, abort.signal).then(
      (reply) => this.#end(call, frameKind.reply, nothing, reply),
      (error: unknown) => {
        const { refusal, notExecuted } = this.#options.calls.failure(error);
        this.#end(call, frameKind.failed, notExecuted ? notExecutedHead : failedHead, encodeRefusal(refusal));
      },
    );
  }

  async #perform({ path, facts, timeoutMs = defaultTimeoutMs }: CallHead, body: Buffer, signal: AbortSignal): Promise<Uint8Array> {
    const { server, parties, methods } = this.#options;
    const contract = methods.get(path);
    if (contract === undefined) throw new NotServedHere(path);
    const { localName, input, output } = contract.method;
    const accepted = acceptCallOf(server, parties, { contract: contract.service, localName, facts, timeoutMs, signal });
    const request = messageCodec(input, "proto").decode(body);
    const reply = await server.methods.perform(accepted.method, request, accepted.call);
    const bytes = toBinary(output, reply);
    if (bytes.length > messageBytesMax) throw new Error(`the reply of ${path} is too large`);
    return bytes;
  }

  #end(call: number, kind: number, head: Uint8Array, body: Uint8Array): void {
    this.#running.delete(call);
    this.#send(kind, call, head, body);
    this.#endWhenIdle();
  }

  #send(kind: number, call: number, head: Uint8Array, body: Uint8Array): void {
    this.#outbox.send({ kind, call, head, body });
  }

  #endWhenIdle(): void {
    if (!this.#ended || this.#running.size > 0) return;
    this.#forget();
    this.#outbox.end();
  }
}
