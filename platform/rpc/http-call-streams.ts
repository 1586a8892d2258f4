import { request as plainRequest } from "node:http";
import type { ClientRequest, IncomingMessage } from "node:http";
import { request as secureRequest } from "node:https";
import type { Socket } from "node:net";
import { CallStreams, NoCallStreams } from "./call-stream/call-streams.ts";
import type { OpenedStream } from "./call-stream/call-streams.ts";
import { ClientCallStream } from "./call-stream/client-call-stream.ts";
import { callStreamPath, callStreamProtocol } from "./call-stream/upgrade.ts";
import type { ClientCalls } from "./client-calls.ts";
import { createAgents } from "./http-agents.ts";
import type { Agents } from "./http-agents.ts";
import type { Endpoint } from "./http-endpoints.ts";
import type { TransportOptions } from "./transport.ts";
import { responseHeaders } from "./wire-call.ts";

/** A callee that does not respond by then is asked again later. */
const openMs = 5_000;
/** A connection without a sign of life is probed after so long. */
const silentMs = 10_000;

/** The call streams of a transport over HTTP, each on a connection of its own: for each address and caller, because its headers say who calls. */
export class HttpCallStreams {
  readonly #calls: ClientCalls;
  readonly #secure: boolean;
  /** Apart from the single calls' connections: the addresses of a name are to be used in turn. */
  readonly #agents: Agents;
  readonly #streams = new Map<Endpoint, Map<string, CallStreams>>();

  constructor({ service, tls }: TransportOptions, calls: ClientCalls) {
    this.#calls = calls;
    this.#secure = tls !== undefined;
    this.#agents = createAgents(service, tls);
  }

  /** The stream that a call to this address goes on; undefined when there is none now. */
  next(endpoint: Endpoint, caller: string): ClientCallStream | undefined {
    let atEndpoint = this.#streams.get(endpoint);
    if (atEndpoint === undefined) this.#streams.set(endpoint, (atEndpoint = new Map()));
    let streams = atEndpoint.get(caller);
    if (streams === undefined) atEndpoint.set(caller, (streams = new CallStreams((closed) => this.#open(endpoint, caller, closed))));
    return streams.next();
  }

  close(): void {
    for (const atEndpoint of this.#streams.values()) for (const streams of atEndpoint.values()) streams.close();
    this.#agents.close();
  }

  #open({ host, port }: Endpoint, caller: string, closed: (stream: ClientCallStream) => void): Promise<OpenedStream> {
    const started = (this.#secure ? secureRequest : plainRequest)({
      agent: this.#agents.current(),
      host,
      port,
      path: callStreamPath,
      method: "POST",
      headers: { ...this.#calls.partyHeaders(caller), connection: "upgrade", upgrade: callStreamProtocol, "content-length": 0 },
      timeout: openMs,
    });
    started.end();
    return opened(started).then(([response, socket]) => {
      const { [responseHeaders.server]: server, [responseHeaders.instance]: instance } = response.headers;
      if (typeof server !== "string") {
        socket.destroy();
        throw new Error("the response names no server");
      }
      socket.setKeepAlive(true, silentMs).setTimeout(0);
      const carrier = { stream: socket, cut: () => void socket.destroy() };
      return {
        server,
        stream: new ClientCallStream({ carrier, responded: () => this.#calls.responded(instance), closed }),
      };
    });
  }
}

/** The connection, when the other side takes it for a call stream. */
function opened(started: ClientRequest): Promise<readonly [IncomingMessage, Socket]> {
  return new Promise((resolve, reject) => {
    started.once("upgrade", (response, socket, head) => {
      if (head.length > 0) socket.unshift(head);
      resolve([response, socket]);
    });
    started.once("response", (response) => {
      const { statusCode } = response;
      // A server of an earlier version looks for a method of that name.
      reject(statusCode === 404 ? new NoCallStreams() : new Error(`a call stream was refused with status ${statusCode}`));
      started.destroy();
    });
    started.once("timeout", () => started.destroy(new Error("no response in time")));
    started.on("error", reject);
  });
}
