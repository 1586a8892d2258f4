import { readFileSync } from "node:fs";
import type { Variable } from "./variables.ts";

/** Variables under the names that the code uses for their values; groups nest. */
export interface Shape {
  readonly [name: string]: Variable | Shape;
}

/** The values of a shape. */
export type Config<S extends Shape> = {
  readonly [Name in keyof S]: S[Name] extends Variable<infer Value> ? Value : S[Name] extends Shape ? Config<S[Name]> : never;
};

export interface ConfigProblem {
  readonly variable: string;
  readonly message: string;
}

/** Everything that is wrong with the environment, each variable by name. It never holds a secret's value. */
export class ConfigError extends Error {
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[]) {
    super(`the configuration is not valid:\n${problems.map(({ variable, message }) => `  ${variable}: ${message}`).join("\n")}`);
    this.name = "ConfigError";
    this.problems = problems;
  }
}

export interface ReadOptions {
  /** Variables with this prefix that are not in the shape are refused, because they are probably misspelt: "KONTOR_" by default. */
  readonly prefix?: string;
  /** Variables with the prefix that other code reads. */
  readonly known?: readonly string[];
}

/**
 * Reads the shape's variables once. An empty variable counts as not set. Throws one `ConfigError` that names everything wrong:
 * what is missing, what is malformed, and what is unknown.
 *
 *     const config = readConfig({ port: port("KONTOR_PORT", { default: 4000, about: "where the gateway listens" }) }, process.env);
 */
export function readConfig<const S extends Shape>(
  shape: S,
  env: Readonly<Record<string, string | undefined>>,
  { prefix = "KONTOR_", known = [] }: ReadOptions = {},
): Config<S> {
  const problems: ConfigProblem[] = [];
  const values = read(shape, env, problems);
  const names = new Set(known);
  for (const variable of variablesOf(shape)) {
    names.add(variable.variable);
    if (variable.secret) names.add(`${variable.variable}_FILE`);
  }
  for (const name of Object.keys(env).sort()) if (name.startsWith(prefix) && !names.has(name)) problems.push(unknownName(name, names));
  if (problems.length > 0) throw new ConfigError(problems);
  return values as Config<S>;
}

/** A row for the documentation and for `kontor doctor`. */
export interface ConfigRow {
  readonly variable: string;
  readonly expected: string;
  readonly about: string;
  readonly required: boolean;
  readonly secret: boolean;
  /** As it would be written; none for secrets. */
  readonly default: string | undefined;
}

/** Describes all variables of a shape, in its order. */
export function describeConfig(shape: Shape): readonly ConfigRow[] {
  return variablesOf(shape).map((variable) => ({
    variable: variable.variable,
    expected: variable.expected,
    about: variable.about,
    required: variable.required,
    secret: variable.secret,
    default: variable.fallback === undefined || variable.secret ? undefined : variable.show(variable.fallback),
  }));
}

function isVariable(entry: Variable | Shape): entry is Variable {
  return typeof entry["parse"] === "function";
}

function variablesOf(shape: Shape): readonly Variable[] {
  return Object.values(shape).flatMap((entry) => (isVariable(entry) ? [entry] : variablesOf(entry)));
}

function read(shape: Shape, env: Readonly<Record<string, string | undefined>>, problems: ConfigProblem[]): Record<string, unknown> {
  const values: Record<string, unknown> = {};
  for (const [name, entry] of Object.entries(shape))
    values[name] = isVariable(entry) ? readVariable(entry, env, problems) : read(entry, env, problems);
  return values;
}

function readVariable(variable: Variable, env: Readonly<Record<string, string | undefined>>, problems: ConfigProblem[]): unknown {
  const complain = (message: string, name = variable.variable) => void problems.push({ variable: name, message });
  const { expected, secret, quotable, required, fallback } = variable;
  let text = env[variable.variable] ?? "";
  const fileVariable = `${variable.variable}_FILE`;
  const file = secret ? (env[fileVariable] ?? "") : "";
  if (file !== "") {
    if (text !== "") return complain(`set either it or ${fileVariable}, not both`);
    try {
      text = readFileSync(file, "utf8").replace(/\r?\n$/, "");
    } catch (error) {
      return complain(`the file ${file} cannot be read: ${(error as NodeJS.ErrnoException).code ?? "unknown error"}`, fileVariable);
    }
    if (text === "") return complain(`the file ${file} is empty; expected ${expected}`, fileVariable);
  }
  if (text === "") return required ? complain(`is missing; expected ${expected} (${variable.about})`) : fallback;
  const value = variable.parse(text);
  return value === undefined ? complain(`expected ${expected}${quotable ? `, not ${JSON.stringify(text.slice(0, 40))}` : ""}`) : value;
}

function unknownName(name: string, names: ReadonlySet<string>): ConfigProblem {
  const withoutFile = name.replace(/_FILE$/, "");
  if (names.has(withoutFile)) return { variable: name, message: `is not known; only a secret can come from a file, set ${withoutFile}` };
  let nearest = "";
  let distanceMin = Math.max(2, Math.floor(name.length / 4)) + 1;
  for (const candidate of names) {
    const far = distance(name, candidate);
    if (far < distanceMin) [nearest, distanceMin] = [candidate, far];
  }
  return { variable: name, message: `is not known${nearest === "" ? "" : `; did you mean ${nearest}?`}` };
}

/** How many letters must be put in, left out, changed or swapped with the next to make one of the other. */
function distance(a: string, b: string): number {
  const rows = Array.from({ length: a.length + 1 }, (_, at) => [at, ...Array.from({ length: b.length }, () => 0)]);
  const at = (i: number, j: number) => (i === 0 ? j : (rows[i]?.[j] ?? 0));
  for (let i = 1; i <= a.length; i++)
    for (let j = 1; j <= b.length; j++) {
      let best = Math.min(at(i - 1, j) + 1, at(i, j - 1) + 1, at(i - 1, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) best = Math.min(best, at(i - 2, j - 2) + 1);
      rows[i]![j] = best;
    }
  return at(a.length, b.length);
}
