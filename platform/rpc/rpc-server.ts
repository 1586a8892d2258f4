import type { Logger } from "../telemetry/logger.ts";
import type { Callers } from "./callers.ts";
import type { ServedMethods } from "./served-methods.ts";
import type { TlsIdentity } from "./tls-identity.ts";

export interface RpcServerOptions {
  /** What is served. Read when the server starts. */
  readonly methods: ServedMethods;
  readonly callers: Callers;
  /** This process's certificate; without one connections are plaintext. */
  readonly tls?: TlsIdentity;
  /** Whether the process is ready, for health checks. */
  readonly ready: () => Promise<boolean>;
  /** Names this process in every response: "catalog-2". */
  readonly instance: string;
  readonly log: Logger;
}

/** Offers this process's methods to others. */
export interface RpcServer {
  /** Listens; port 0 takes a free one. Returns the port. */
  start(host: string, port: number): Promise<number>;
  /** Takes no more connections, ends streams, and lets calls under way end, for 10 s at most. Callers that have another address use that one. */
  stop(): Promise<void>;
}

/** The time of a call that arrives without a time-out. */
export const defaultTimeoutMs = 30_000;
