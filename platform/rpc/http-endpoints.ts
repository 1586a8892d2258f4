import { performance } from "node:perf_hooks";
import { backoffMs } from "../retry/backoff.ts";

/** One of a service's addresses. */
export interface Endpoint {
  readonly host: string;
  readonly port: number;
  /** Left out until then (monotonic), unless there is no other. */
  awayUntilMs: number;
  awayMs: number;
  /** Since it was last reached. */
  failures: number;
}

const backoff = { pauseMsMin: 100, pauseMsMax: 2_000 };

/** The addresses of a service, in turn. One that could not be reached is left out for a while, each time for longer. */
export class Endpoints {
  readonly #endpoints: readonly Endpoint[];
  #turn = 0;

  /** Throws for an address that is not "host:port". */
  constructor(addresses: readonly string[]) {
    this.#endpoints = addresses.map((address) => {
      const { hostname, port } = new URL(`http://${address}`);
      const host = hostname.replace(/^\[(.*)\]$/, "$1");
      return { host, port: port === "" ? 80 : Number(port), awayUntilMs: 0, awayMs: 0, failures: 0 };
    });
  }

  get count(): number {
    return this.#endpoints.length;
  }

  /** The next one that is not away; of those that all are, the one that comes back first. */
  next(): Endpoint {
    const nowMs = performance.now();
    let soonest = this.#endpoints[0]!; // a service has an address
    for (let tries = 0; tries < this.#endpoints.length; tries++) {
      const endpoint = this.#endpoints[this.#turn++ % this.#endpoints.length]!;
      if (endpoint.awayUntilMs <= nowMs) return endpoint;
      if (endpoint.awayUntilMs < soonest.awayUntilMs) soonest = endpoint;
    }
    return soonest;
  }

  lost(endpoint: Endpoint): void {
    endpoint.awayMs = backoffMs(backoff, ++endpoint.failures);
    endpoint.awayUntilMs = performance.now() + endpoint.awayMs;
  }

  reached(endpoint: Endpoint): void {
    endpoint.failures = 0;
    endpoint.awayUntilMs = 0;
  }
}
