import { badRequest } from "./http.ts";

/** What the provider does, for faults to name. */
export const operations = ["open", "read", "close", "refund", "ledger", "page", "pay"] as const;
export type Operation = (typeof operations)[number];

/** When a fault happens: at the `next` so many requests, and after these with a probability. */
export interface Fault {
  readonly next?: number;
  /** From 0 to 1. */
  readonly probability?: number;
  /** At which operations: open, read, close and refund unless named. */
  readonly on?: readonly Operation[];
}

/** Failures on demand. A request gets one at most, the first of these that happens. */
export interface Faults {
  /** Responds with 500 and executes nothing. */
  readonly error?: Fault;
  /** Executes it, then resets the connection: the response is lost. */
  readonly reset?: Fault;
  /** Waits for `ms` (30,000), by the provider's clock, and then executes it, whether or not the caller still waits. */
  readonly stall?: Fault & { readonly ms?: number };
  /** The webhook of a decision is sent `times`: 0 is never. `on` has no meaning here. */
  readonly webhook?: Omit<Fault, "on"> & { readonly times: number };
}

export type RequestFault = { readonly kind: "error" | "reset" } | { readonly kind: "stall"; readonly ms: number };

export interface FaultScript {
  /** Replaces the script; what it does not name does not happen. */
  set(faults: Faults): void;
  /** What is still to come. */
  get(): Faults;
  /** What is to go wrong with a request. Counts it. */
  draw(operation: Operation): RequestFault | undefined;
  /** How often the webhook of a decision is sent, when not as usual. */
  drawWebhookTimes(): number | undefined;
}

const usualOperations: readonly Operation[] = ["open", "read", "close", "refund"];
const stallMs = 30_000;

/** Faults by a script. `random` is called only for those that have a probability, in the order of `Faults`. */
export function faultScript(faults: Faults, random: () => number): FaultScript {
  let script = faults;
  const happens = (name: keyof Faults): boolean => {
    const fault = script[name];
    if (fault === undefined) return false;
    const { next = 0, probability = 0 } = fault;
    if (next > 0) script = { ...script, [name]: { ...fault, next: next - 1 } };
    return next > 0 || (probability > 0 && random() < probability);
  };
  return {
    set: (next) => {
      script = next;
    },
    get: () => script,
    draw: (operation) => {
      for (const kind of ["error", "reset", "stall"] as const) {
        if (!(script[kind]?.on ?? usualOperations).includes(operation) || !happens(kind)) continue;
        return kind === "stall" ? { kind, ms: script.stall?.ms ?? stallMs } : { kind };
      }
      return undefined;
    },
    drawWebhookTimes: () => (happens("webhook") ? script.webhook?.times : undefined),
  };
}

/** Reads a script of faults from a request. Refuses anything else. */
export function readFaults(body: Readonly<Record<string, unknown>>): Faults {
  for (const [kind, fault] of Object.entries(body)) {
    if (!["error", "reset", "stall", "webhook"].includes(kind))
      throw badRequest(kind, "is no fault: there are error, reset, stall and webhook");
    if (typeof fault !== "object" || fault === null || Array.isArray(fault)) throw badRequest(kind, "must be an object");
    const known = ["next", "probability", ...(kind === "webhook" ? ["times"] : ["on"]), ...(kind === "stall" ? ["ms"] : [])];
    for (const [name, value] of Object.entries(fault as Record<string, unknown>)) {
      if (!known.includes(name)) throw badRequest(`${kind}.${name}`, `is not known: there are ${known.join(", ")}`);
      checkFaultField(`${kind}.${name}`, name, value);
    }
    if (kind === "webhook" && !("times" in fault)) throw badRequest("webhook.times", "is missing");
  }
  return body;
}

function checkFaultField(path: string, name: string, value: unknown): void {
  if (name === "on") {
    if (!Array.isArray(value) || !value.every((one) => operations.includes(one as Operation)))
      throw badRequest(path, `must be a list of operations: ${operations.join(", ")}`);
    return;
  }
  const max = { probability: 1, times: 5, next: 1_000_000, ms: 600_000 }[name] ?? 0;
  if (typeof value !== "number" || !(value >= 0 && value <= max) || (name !== "probability" && !Number.isInteger(value)))
    throw badRequest(path, `must be ${name === "probability" ? "a" : "a whole"} number from 0 to ${max}`);
}
