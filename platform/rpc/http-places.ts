import { performance } from "node:perf_hooks";

/** One of a service's addresses. */
export interface Place {
  readonly host: string;
  readonly port: number;
  /** Left out until then (monotonic), unless there is no other. */
  awayUntilMs: number;
  awayMs: number;
}

const awayMsMin = 100;
const awayMsMax = 2_000;

/** The addresses of a service, in turn. One that could not be reached is left out for a while, each time for longer. */
export class Places {
  readonly #places: readonly Place[];
  #turn = 0;

  /** Throws for an address that is not "host:port". */
  constructor(addresses: readonly string[]) {
    this.#places = addresses.map((address) => {
      const { hostname, port } = new URL(`http://${address}`);
      const host = hostname.replace(/^\[(.*)\]$/, "$1");
      return { host, port: port === "" ? 80 : Number(port), awayUntilMs: 0, awayMs: 0 };
    });
  }

  get count(): number {
    return this.#places.length;
  }

  /** The next one that is not away; of those that all are, the one that comes back first. */
  next(): Place {
    const nowMs = performance.now();
    let soonest = this.#places[0]!; // a service has an address
    for (let tries = 0; tries < this.#places.length; tries++) {
      const place = this.#places[this.#turn++ % this.#places.length]!;
      if (place.awayUntilMs <= nowMs) return place;
      if (place.awayUntilMs < soonest.awayUntilMs) soonest = place;
    }
    return soonest;
  }

  lost(place: Place): void {
    place.awayMs = Math.min(Math.max(awayMsMin, place.awayMs * 2), awayMsMax);
    place.awayUntilMs = performance.now() + place.awayMs;
  }

  reached(place: Place): void {
    place.awayMs = 0;
    place.awayUntilMs = 0;
  }
}
