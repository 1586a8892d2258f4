import { create } from "@bufbuild/protobuf";
import type { Message } from "@bufbuild/protobuf";
import { WaitSchema } from "@kontor/contracts/gen/kontor/api/v1/common_pb.js";
import type { MethodContract } from "@kontor/platform/contract/contract.ts";
import { refusalIn } from "@kontor/platform/errors/refusal.ts";
import type { Principal } from "../edge/authenticate.ts";
import type { Edge } from "../edge/edge.ts";
import type { Exchange } from "../edge/exchange.ts";
import type { OpenWaits } from "../edge/open-waits.ts";
import { isTokenRefusal } from "../edge/problem.ts";
import type { Target } from "../edge/target.ts";
import { versionIn } from "./etag.ts";
import { preferredWaitSeconds } from "./preferences.ts";

/** How a client may wait for a change of what it reads. */
export interface WaitFields {
  /** The property of the request that says how long. */
  readonly field: string;
  /** Whether replies have a version. */
  readonly versioned: boolean;
  /** The version in a reply; undefined for one that has none. */
  readonly versionOf: (reply: Message) => number | undefined;
}

/** Undefined when the contract names no field for it. */
export function waitFields({ wait, method }: MethodContract): WaitFields | undefined {
  if (wait === undefined) return undefined;
  const versioned = method.output.fields.some(({ name }) => name === "version");
  return {
    field: wait.localName,
    versioned,
    versionOf: (reply) => (versioned ? (reply as Message & { readonly version: number }).version : undefined),
  };
}

interface WaitingReadRequest {
  readonly target: Target;
  readonly wait: WaitFields;
  readonly principal: Principal;
  /** Reads the request: a new message each time. */
  readonly read: () => Message;
}

/** A reply, and the headers that say whether the client's preference to wait was honoured. */
export interface WaitedReply {
  readonly reply: Message;
  readonly headers: readonly string[];
}

/**
 * Reads for a client that may prefer to wait: for another version than `If-None-Match` names, and without that header for the next change of
 * what is not final. The preference is not honoured while too many wait, or too many of one client's, and when the process that it waits at ends.
 */
export function createWaitingRead({ edge, waits }: { readonly edge: Edge; readonly waits: OpenWaits }) {
  return async (exchange: Exchange, { target, wait, principal, read }: WaitingReadRequest): Promise<WaitedReply> => {
    const { request, response } = exchange;
    const now = async (headers: readonly string[]): Promise<WaitedReply> => ({
      reply: await edge.invoke(exchange, target, { principal, message: read(), idempotencyKey: undefined }),
      headers,
    });
    const seconds = preferredWaitSeconds(request.headers["prefer"]);
    if (seconds === undefined) return now([]);
    const applied = ["Preference-Applied", `wait=${seconds}`];
    const named = wait.versioned ? request.headers["if-none-match"] : undefined;
    const afterVersion = named === undefined ? undefined : versionIn(named);
    // What the client has is no version of this: it differs already.
    if (named !== undefined && afterVersion === undefined) return now(applied);
    const open = waits.open(response, edge.clientOf(exchange, principal));
    if (open === undefined) return now([]);
    const forMs = seconds * 1_000;
    const sent = create(WaitSchema, { forMs, ...(afterVersion !== undefined && { afterVersion }) });
    try {
      const reply = await edge.wait(exchange, target, {
        principal,
        message: Object.assign(read(), { [wait.field]: sent }),
        durationMs: forMs,
        signal: open.signal,
      });
      return { reply, headers: applied };
    } catch (error) {
      if (response.destroyed) throw error;
      const refusal = refusalIn(error);
      // Its session has ended: nothing is read for it any more.
      if (refusal !== undefined && isTokenRefusal(refusal)) throw error;
      if (!open.signal.aborted && refusal?.reason !== "DEPENDENCY_UNAVAILABLE") throw error;
    } finally {
      waits.close(open);
    }
    // The gateway stops, which has cancelled a call to another process, or that process has ended.
    return now(open.signal.aborted ? applied : []);
  };
}
