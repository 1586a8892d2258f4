import { performance } from "node:perf_hooks";
import type { Message } from "@bufbuild/protobuf";
import type { Wait } from "@kontor/contracts/gen/kontor/api/v1/common_pb.js";
import type { Call } from "../call/call.ts";
import type { MethodContract } from "../contract/contract.ts";
import type { Watch } from "../changes/changes.ts";
import type { Waker } from "../changes/waker.ts";

// The form of a handler whose caller may have it wait for a change. A method whose contract names a `wait` is served in it, and no other is.

/** A read that may be made again when what it reads has changed. */
export interface WaitingRead<Request, Init, Reply> {
  readonly form: "waiting";
  readonly read: (request: Request, call: Call) => Promise<Init>;
  readonly isPending: (reply: Reply) => boolean;
  readonly watch: (request: Request) => Watch;
}

/**
 * Reads, and where the caller waits for a change, reads again when there may be one: see `Wait` in the contract. `isPending` says that something
 * is still to come, from outside or from work under way: a caller that names no version waits for that only. `watch` notices changes of what the
 * request reads; its versions are those in the reply's field `version`, or without that field 0 while it is pending and 1 afterwards.
 */
export function waiting<Request, Init, Reply>(handler: Omit<WaitingRead<Request, Init, Reply>, "form">): WaitingRead<Request, Init, Reply> {
  return { form: "waiting", ...handler };
}

/** Throws unless the handler can wait for a change exactly when its contract says so. */
export function checkWaiting(handler: object, { service, method, wait }: MethodContract): void {
  if ((wait !== undefined) === isWaiting(handler)) return;
  const name = `${service.typeName}.${method.name}`;
  throw new Error(
    wait === undefined
      ? `the handler of ${name} waits for changes, and its contract names no field for that`
      : `the contract of ${name} waits for changes, and its handler does not: see platform/rpc/waiting.ts`,
  );
}

export function isWaiting(handler: object): handler is WaitingRead<Message, Record<string, unknown>, Message> {
  return "form" in handler && handler.form === "waiting";
}

/** The waits of a process: all end when it stops. */
export class OpenWaits {
  readonly #wakers = new Set<Waker>();
  #ended = false;

  add(waker: Waker): void {
    if (this.#ended) waker.close();
    else this.#wakers.add(waker);
  }

  delete(waker: Waker): void {
    this.#wakers.delete(waker);
  }

  /** Ends them, and those that begin later at once: each replies with what it has read. */
  end(): void {
    this.#ended = true;
    for (const waker of this.#wakers) waker.close();
  }
}

/** A wait ends so long before its call's deadline that the last read still fits in. */
const marginMs = 200;

export interface ReadOnceChanged {
  readonly handler: Pick<WaitingRead<Message, unknown, Message>, "isPending" | "watch">;
  readonly request: Message;
  readonly call: Call;
  readonly wait: Wait;
  /** One read, which takes a slot of the limiter; between reads none is held. */
  readonly read: () => Promise<Message>;
  readonly waits: OpenWaits;
}

/** Reads until the wait is over: by a change, its time, its caller's disconnecting, or the end of all waits. Refuses as the read does. */
export async function readOnceChanged({ handler, request, call, wait, read, waits }: ReadOnceChanged): Promise<Message> {
  const endsMs = performance.now() + Math.min(wait.forMs, call.remainingMs() - marginMs);
  const watch = handler.watch(request);
  const { waker } = watch;
  const close = () => waker.close();
  waits.add(waker);
  call.callerSignal?.addEventListener("abort", close, { once: true });
  let known = wait.afterVersion;
  try {
    for (;;) {
      waker.lower();
      const reply = await read();
      const pending = handler.isPending(reply);
      if (known === undefined && !pending) return reply;
      watch.version = versionOf(reply, pending);
      known ??= watch.version;
      const leftMs = endsMs - performance.now();
      if (watch.version !== known || leftMs <= 0) return reply;
      await waker.wait(leftMs);
      if (waker.closed) return reply;
    }
  } finally {
    call.callerSignal?.removeEventListener("abort", close);
    waits.delete(waker);
    watch.close();
  }
}

function versionOf(reply: Message, pending: boolean): number {
  return "version" in reply && typeof reply.version === "number" ? reply.version : Number(!pending);
}
