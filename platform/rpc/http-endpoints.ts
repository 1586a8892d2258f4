import { performance } from "node:perf_hooks";
import { backoffMs } from "../retry/backoff.ts";

/** One of a service's addresses. */
export interface Endpoint {
  readonly host: string;
  readonly port: number;
  /** Skipped until then (monotonic), unless there is no other. */
  retryAtMs: number;
  /** Since it was last available. */
  failures: number;
}

const backoff = { pauseMsMin: 100, pauseMsMax: 2_000 };

/** The addresses of a service, in turn. One that could not be reached is skipped for a while, each time for longer. */
export class Endpoints {
  readonly #endpoints: readonly Endpoint[];
  #turn = 0;

  /** Throws for an address that is not "host:port". */
  constructor(addresses: readonly string[]) {
    this.#endpoints = addresses.map((address) => {
      const { hostname, port } = new URL(`http://${address}`);
      const host = hostname.replace(/^\[(.*)\]$/, "$1");
      return { host, port: port === "" ? 80 : Number(port), retryAtMs: 0, failures: 0 };
    });
  }

  get count(): number {
    return this.#endpoints.length;
  }

  /** The next one that is not skipped; when all are, the one whose time is over first. */
  next(): Endpoint {
    const nowMs = performance.now();
    let soonest = this.#endpoints[0]!; // a service has an address
    for (let tries = 0; tries < this.#endpoints.length; tries++) {
      const endpoint = this.#endpoints[this.#turn++ % this.#endpoints.length]!;
      if (endpoint.retryAtMs <= nowMs) return endpoint;
      if (endpoint.retryAtMs < soonest.retryAtMs) soonest = endpoint;
    }
    return soonest;
  }

  /** For how long it is skipped now. */
  failed(endpoint: Endpoint): number {
    const skippedMs = backoffMs(backoff, ++endpoint.failures);
    endpoint.retryAtMs = performance.now() + skippedMs;
    return skippedMs;
  }

  succeeded(endpoint: Endpoint): void {
    endpoint.failures = 0;
    endpoint.retryAtMs = 0;
  }
}
