import { isIPv6 } from "node:net";

/** One environment variable: its name, its form and its value. */
export interface Variable<Value = unknown> {
  readonly variable: string;
  /** What an error message says is expected: "an integer from 1 to 65535". */
  readonly expected: string;
  /** One line for the documentation. */
  readonly about: string;
  /** Whether its value is never shown, and may come from the file that `<VARIABLE>_FILE` names. */
  readonly secret: boolean;
  /** Whether an error message may quote a wrong value. */
  readonly quotable: boolean;
  readonly required: boolean;
  readonly fallback: Value | undefined;
  /** The value of a text, or undefined when it is not as expected. */
  parse(text: string): Value | undefined;
  /** The value as it is written in the environment. */
  show(value: Value): string;
}

/** With neither `default` nor `optional` a variable is required. */
export interface About<Value> {
  readonly about: string;
  readonly default?: Value;
  /** Gives undefined when it is not set. */
  readonly optional?: true;
}

/** The value of a variable: undefined only when it is optional and has no default. */
export type ValueOf<Value, Options> = Options extends { readonly default: Value }
  ? Value
  : Options extends { readonly optional: true }
    ? Value | undefined
    : Value;

interface Kind<Value> {
  readonly expected: string;
  readonly quotable: boolean;
  readonly secret?: boolean;
  readonly parse: (text: string) => Value | undefined;
  readonly show?: (value: Value) => string;
}

function variable<Value, Options extends About<Value>>(
  name: string,
  options: Options,
  { expected, quotable, secret = false, parse, show = String }: Kind<Value>,
): Variable<ValueOf<Value, Options>> {
  if (options.default !== undefined && parse(show(options.default)) === undefined)
    throw new Error(`${name}: the default is not ${expected}`);
  const made: Variable<Value> = {
    variable: name,
    expected,
    about: options.about,
    secret,
    quotable,
    required: options.default === undefined && options.optional !== true,
    fallback: options.default,
    parse,
    show,
  };
  // `required` and `fallback` make reading return undefined only where `ValueOf` says so.
  return made as Variable<ValueOf<Value, Options>>;
}

/** Any text of at most `lengthMax` characters (1,000 by default) that matches `pattern`, which `expected` puts into words. */
export function text<const Options extends About<string> & { pattern?: RegExp; expected?: string; lengthMax?: number }>(
  name: string,
  options: Options,
): Variable<ValueOf<string, Options>> {
  const { pattern, lengthMax = 1_000 } = options;
  return variable<string, Options>(name, options, {
    expected:
      options.expected ?? (pattern === undefined ? `a text of at most ${lengthMax} characters` : `a text that matches ${pattern.source}`),
    quotable: false,
    parse: (value) => (value.length <= lengthMax && (pattern === undefined || pattern.test(value)) ? value : undefined),
  });
}

/** A whole number from `min` to `max`; by default from 0 up. */
export function integer<const Options extends About<number> & { min?: number; max?: number }>(
  name: string,
  options: Options,
): Variable<ValueOf<number, Options>> {
  const { min = 0, max = Number.MAX_SAFE_INTEGER } = options;
  return variable<number, Options>(name, options, {
    expected: max === Number.MAX_SAFE_INTEGER ? `an integer of at least ${min}` : `an integer from ${min} to ${max}`,
    quotable: true,
    parse: (value) => {
      const number = /^-?\d{1,16}$/.test(value) ? Number(value) : NaN;
      return number >= min && number <= max ? number : undefined;
    },
  });
}

/** A TCP port; 0 lets the system choose one. */
export function port<const Options extends About<number>>(name: string, options: Options): Variable<ValueOf<number, Options>> {
  return integer(name, { ...options, min: 0, max: 65_535 });
}

/** The address of an interface of this machine, without a zone, or a host name. */
export function host<const Options extends About<string>>(name: string, options: Options): Variable<ValueOf<string, Options>> {
  return variable<string, Options>(name, options, {
    expected: "an IPv4 or IPv6 address or a host name",
    quotable: true,
    parse: (value) => {
      const authority = isIPv6(value) ? `[${value}]` : /^\w[\w-]*(\.\w[\w-]*)*\.?$/.test(value) ? value : "";
      return URL.canParse(`http://${authority}/`) ? value : undefined;
    },
  });
}

/**
 * A URL of one of the schemes, which are written without the colon; or one of the `words`, such as "embedded". With `hosts: "many"` the authority may be a
 * list, `kafka://a:9092,b:9092`. The value stays the text that it was.
 */
export function url<
  const Options extends About<string> & { schemes: readonly string[]; words?: readonly string[]; hosts?: "one" | "many" },
>(name: string, options: Options): Variable<ValueOf<string, Options>> {
  const { schemes, words = [], hosts = "one" } = options;
  const many = hosts === "many" ? " (hosts separated by commas)" : "";
  return variable<string, Options>(name, options, {
    expected: [...words.map((word) => `"${word}"`), `a URL ${schemes.map((scheme) => `${scheme}://…`).join(" or ")}${many}`].join(" or "),
    // A URL may carry a password.
    quotable: false,
    parse: (value) => (words.includes(value) || isUrl(value, schemes, hosts === "many") ? value : undefined),
  });
}

function isUrl(value: string, schemes: readonly string[], many: boolean): boolean {
  const [, scheme, user = "", hosts = "", rest = ""] = /^([a-z][a-z0-9+.-]*):\/\/([^/?#]*@)?([^/?#]*)(.*)$/s.exec(value) ?? [];
  if (scheme === undefined || !schemes.includes(scheme) || /\s/.test(value)) return false;
  const each = many ? hosts.split(",") : [hosts];
  return each.every((host) => host !== "" && URL.canParse(`${scheme}://${user}${host}${rest}`));
}

/** One of the words. */
export function oneOf<const Word extends string, const Options extends About<Word>>(
  name: string,
  words: readonly Word[],
  options: Options,
): Variable<ValueOf<Word, Options>> {
  return variable<Word, Options>(name, options, {
    expected: `one of ${words.join(", ")}`,
    quotable: true,
    parse: (value) => words.find((word) => word === value),
  });
}

/** `true` or `false`. */
export function boolean<const Options extends About<boolean>>(name: string, options: Options): Variable<ValueOf<boolean, Options>> {
  return variable<boolean, Options>(name, options, {
    expected: "true or false",
    quotable: true,
    parse: (value) => (value === "true" ? true : value === "false" ? false : undefined),
  });
}

const units = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** A time span such as `500ms`, `30s`, `5m`, `4h` or `7d`; returns milliseconds. */
export function duration<const Options extends About<number> & { min?: number; max?: number }>(
  name: string,
  options: Options,
): Variable<ValueOf<number, Options>> {
  const { min = 0, max = Number.MAX_SAFE_INTEGER } = options;
  const range = max === Number.MAX_SAFE_INTEGER ? (min > 0 ? ` of at least ${showMs(min)}` : "") : ` from ${showMs(min)} to ${showMs(max)}`;
  return variable<number, Options>(name, options, {
    expected: `a duration such as 500ms, 30s, 5m, 4h or 7d${range}`,
    quotable: true,
    parse: (value) => {
      const [, count, unit] = /^(\d{1,12})(ms|s|m|h|d)$/.exec(value) ?? [];
      const ms = Number(count) * units[unit as keyof typeof units];
      return ms >= min && ms <= max ? ms : undefined;
    },
    show: showMs,
  });
}

function showMs(ms: number): string {
  for (const [unit, size] of Object.entries(units).reverse()) if (ms % size === 0 && ms >= size) return `${ms / size}${unit}`;
  return `${ms}ms`;
}

/** A secret of at least `lengthMin` characters (1 by default), from the variable or from the file that `<VARIABLE>_FILE` names. */
export function secret<const Options extends About<string> & { lengthMin?: number }>(
  name: string,
  options: Options,
): Variable<ValueOf<string, Options>> {
  const { lengthMin = 1 } = options;
  return variable<string, Options>(name, options, {
    expected: lengthMin === 1 ? "a secret" : `a secret of at least ${lengthMin} characters`,
    quotable: false,
    secret: true,
    parse: (value) => (value.length >= lengthMin ? value : undefined),
  });
}
