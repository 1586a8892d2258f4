import { refuse } from "../errors/refusal.ts";
import type { FieldError, Refusal } from "../errors/refusal.ts";

/** As many problems as one refusal names; looking for more would only help who sends garbage. */
export const problemsMax = 20;

/** A step of a path: a property's JSON name, or a list's index. */
export type Step = string | number;

/** "lines[0].unitPrice.amount"; keys that are no plain names are quoted: `labels["a b"]`. The whole is "$". */
export function pathText(steps: readonly Step[]): string {
  let text = "";
  for (const step of steps) {
    if (typeof step === "number") text += `[${step}]`;
    else if (!/^[A-Za-z_][A-Za-z0-9_]{0,99}$/.test(step))
      text += `[${JSON.stringify(step.length > 100 ? `${step.slice(0, 100)}…` : step)}]`;
    else text += text === "" ? step : `.${step}`;
  }
  return text === "" ? "$" : text;
}

/** The refusal of a request whose fields are missing or wrong. */
export function invalidRequest(fields: readonly FieldError[]): Refusal {
  const [first] = fields;
  const message =
    first === undefined
      ? "The request is not valid."
      : `${first.field} ${first.message}${fields.length > 1 ? `, and ${fields.length - 1} more problem${fields.length > 2 ? "s" : ""}` : ""}`;
  return refuse({ reason: "INVALID_REQUEST", code: "invalid_argument", message, fields });
}

/** Collects what is wrong while a request is read; knows where the reader is. */
export class Problems {
  /** Whether null is the absence of a value, as it is in proto JSON, rather than a value of the wrong type, as the documented schemas have it. */
  readonly nullIsAbsent: boolean;
  readonly #path: Step[] = [];
  readonly #found: FieldError[] = [];

  constructor({ nullIsAbsent = false }: { readonly nullIsAbsent?: boolean } = {}) {
    this.nullIsAbsent = nullIsAbsent;
  }

  enter(step: Step): void {
    this.#path.push(step);
  }

  leave(): void {
    this.#path.pop();
  }

  /** How deep the reader is. */
  get depth(): number {
    return this.#path.length;
  }

  /** Notes a problem where the reader is, or at a property of it. Throws at once when there are too many. */
  add(reason: string, message: string, property?: Step): void {
    this.#found.push({ field: pathText(property === undefined ? this.#path : [...this.#path, property]), reason, message });
    if (this.#found.length >= problemsMax) throw invalidRequest(this.#found);
  }

  /** Throws when there are problems. */
  check(): void {
    if (this.#found.length > 0) throw this.refusal();
  }

  refusal(): Refusal {
    return invalidRequest(this.#found);
  }
}
