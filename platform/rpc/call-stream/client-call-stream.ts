import { fromBinary, toBinary } from "@bufbuild/protobuf";
import type { Message } from "@bufbuild/protobuf";
import type { Call } from "../../call/call.ts";
import { Deadlines } from "../../call/deadlines.ts";
import type { Pending } from "../../call/deadlines.ts";
import type { MethodContract } from "../../contract/contract.ts";
import { refuse } from "../../errors/refusal.ts";
import { onDisconnect } from "../client-calls.ts";
import { connectPath } from "../connect/read-request.ts";
import { TransportFailure } from "../transport.ts";
import { formatFacts, messageBytesMax, timeoutMsOf } from "../wire-call.ts";
import { failureOf } from "../wire-failure.ts";
import { decodeRefusal } from "../wire-problem.ts";
import { Bodies } from "./bodies.ts";
import type { Carrier } from "./carrier.ts";
import { encodeHead, frameKind, FrameReader, headBytesMax, nothing } from "./frames.ts";
import type { Frame } from "./frames.ts";
import { Outbox } from "./outbox.ts";

/** A call that waits for its reply. */
interface Waiting extends Pending {
  readonly method: MethodContract;
  readonly resolve: (reply: Message) => void;
  readonly reject: (error: Error) => void;
  /** Stops watching the caller. */
  release: () => void;
}

export interface ClientCallStreamOptions {
  readonly carrier: Carrier;
  /** Called with each response. */
  readonly responded: () => void;
  /** Called once, when no new call may be made on it any more. */
  readonly closed: (stream: ClientCallStream) => void;
}

/** The deadlines of all calls, by one timer. */
const deadlines = new Deadlines();
const paths = new WeakMap<MethodContract, string>();

/**
 * The caller's side of a call stream. Its calls end as single calls do: with the reply, with the callee's refusal, at their deadline, when their caller
 * disconnects, or, when the stream breaks, as `TransportFailure`, which says so of those that had not been sent.
 */
export class ClientCallStream {
  readonly #options: ClientCallStreamOptions;
  readonly #outbox: Outbox;
  readonly #frames = new FrameReader();
  readonly #bodies = new Bodies();
  readonly #waiting = new Map<number, Waiting>();
  #calls = 0;
  #closed = false;

  constructor(options: ClientCallStreamOptions) {
    this.#options = options;
    const { stream } = options.carrier;
    this.#outbox = new Outbox(stream);
    stream.on("data", (chunk: Buffer) => this.#receive(chunk));
    stream.on("error", (error) => this.#break(error));
    stream.on("end", () => this.#break(new Error("the other side has ended it")));
    stream.on("close", () => this.#break(new Error("it was closed")));
  }

  unary(method: MethodContract, request: Message, call: Call): Promise<Message> {
    const head = encodeHead({ path: pathOf(method), facts: formatFacts(call), timeoutMs: timeoutMsOf(call) });
    const body = toBinary(method.method.input, request);
    if (body.length > messageBytesMax || head.length > headBytesMax) return Promise.reject(tooLarge());
    const number = ++this.#calls;
    return new Promise((resolve, reject) => {
      const cancel = (error: Error) => this.#cancel(number, error);
      const waiting: Waiting = { method, resolve, reject, deadlineMs: call.deadlineMs, expire: cancel, release: () => undefined };
      this.#waiting.set(number, waiting);
      this.#outbox.send({ kind: frameKind.call, call: number, head, body });
      if (Number.isFinite(call.deadlineMs)) deadlines.watch(waiting);
      waiting.release = onDisconnect(call, () => cancel(refuse({ reason: "DEADLINE_EXCEEDED", code: "deadline_exceeded" })));
    });
  }

  /** Whether no new call may be made on it. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Makes no new calls, and ends the stream when those under way have ended. */
  close(): void {
    this.#close();
    if (this.#waiting.size === 0) this.#outbox.end();
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#options.closed(this);
  }

  #receive(chunk: Buffer): void {
    try {
      for (const frame of this.#frames.read(chunk)) this.#take(frame);
    } catch (error) {
      this.#break(error);
      this.#options.carrier.cut();
    }
  }

  #take({ kind, call, content }: Frame): void {
    if (kind === frameKind.stopping) return this.close();
    const waiting = this.#waiting.get(call);
    // It was cancelled, or its deadline has passed.
    if (waiting === undefined) return;
    switch (kind) {
      case frameKind.part:
        return this.#bodies.add(call, content);
      case frameKind.reply:
        return this.#reply(call, waiting, this.#bodies.take(call, content));
      case frameKind.failed:
        this.#settle(call, waiting);
        this.#options.responded();
        return waiting.reject(failureIn(content));
      default:
        throw new Error(`a frame of kind ${kind}`);
    }
  }

  #reply(call: number, waiting: Waiting, body: Buffer): void {
    this.#settle(call, waiting);
    this.#options.responded();
    try {
      waiting.resolve(fromBinary(waiting.method.method.output, body));
    } catch (cause) {
      waiting.reject(new TransportFailure("the response cannot be read", { cause }));
    }
  }

  #cancel(call: number, error: Error): void {
    const waiting = this.#waiting.get(call);
    if (waiting === undefined) return;
    this.#outbox.drop(call);
    this.#outbox.send({ kind: frameKind.cancel, call, head: nothing, body: nothing });
    this.#settle(call, waiting);
    waiting.reject(error);
  }

  #settle(call: number, waiting: Waiting): void {
    deadlines.forget(waiting);
    waiting.release();
    this.#waiting.delete(call);
    this.#bodies.drop(call);
    if (this.#closed && this.#waiting.size === 0) this.#outbox.end();
  }

  /** The callee has disconnected. A call may have been executed, unless its last frame has not been sent. */
  #break(cause: unknown): void {
    this.#close();
    for (const [call, waiting] of this.#waiting) {
      const notExecuted = this.#outbox.holds(call);
      this.#settle(call, waiting);
      waiting.reject(new TransportFailure(`the call stream broke: ${String(cause)}`, { cause, notExecuted }));
    }
  }
}

function pathOf(method: MethodContract): string {
  let path = paths.get(method);
  if (path === undefined) paths.set(method, (path = connectPath(method)));
  return path;
}

/** A message that is too large is so the next time too. */
const tooLarge = () => refuse({ reason: "INTERNAL_ERROR", code: "internal", cause: new Error("a message is too large") });

/** The callee's refusal, or that it did not execute the call. */
function failureIn(content: Buffer): Error {
  const refusal = decodeRefusal(content.subarray(1));
  const { code, message } = refusal ?? { code: "unknown", message: "a failure that cannot be read" };
  return failureOf({ code, message, refusal, notExecuted: content[0] === 1 });
}
