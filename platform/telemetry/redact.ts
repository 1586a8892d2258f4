const redacted = "[redacted]";
const depthMax = 5;
const itemsMax = 20;
const textLengthMax = 2_000;

/** Words that mark a field as secret anywhere in its name: `accessToken`, `customer_email`, `x-api-key`. */
const secretWords = new Set(
  (
    "password passwd pwd passphrase secret secrets token tokens authorization cookie cookies credentials apikey privatekey masterkey otp jwt " +
    "email emails phone address addresses street postcode zip city birthday iban pan cvc cvv cardnumber cardholder " +
    "firstname lastname fullname givenname familyname username displayname customername"
  ).split(" "),
);
/** Names that mark a field only as a whole, because they are harmless inside others: `statusCode`, `serviceName`. */
const secretNames = new Set(["code", "name", "verificationcode", "resetcode"]);

const verdicts = new Map<string, boolean>();
const verdictsMax = 2_000;

/** Whether a field of this name may hold a secret or personal data, judged by its words. */
export function isSecretField(name: string): boolean {
  let verdict = verdicts.get(name);
  if (verdict === undefined) {
    const words = name
      .replace(/([a-z0-9])([A-Z])/g, "$1 $2")
      .toLowerCase()
      .split(/[^a-z0-9]+/);
    verdict =
      words.some((word, at) => secretWords.has(word) || secretWords.has(`${word}${words[at + 1] ?? ""}`)) ||
      secretNames.has(words.join(""));
    // Names inside values may come from clients; this cache must not grow with them.
    if (verdicts.size >= verdictsMax) verdicts.clear();
    verdicts.set(name, verdict);
  }
  return verdict;
}

/** The text without e-mail addresses, the user and password of URLs, secrets in their queries, and bearer tokens. */
export function maskText(text: string): string {
  let masked = text;
  if (masked.includes("@"))
    masked = masked
      .replace(/:\/\/[^\s/?#]{1,256}@/g, `://${redacted}@`)
      .replace(/[^\s@<>()[\],;:="']{1,64}@[^\s@<>()[\],;:="']{1,255}/g, redacted);
  if (masked.includes("?"))
    masked = masked.replace(/([?&][a-z_-]{0,20}(?:token|code|key|secret|password|signature|email)=)[^&#\s"']+/gi, `$1${redacted}`);
  if (masked.includes("earer ")) masked = masked.replace(/(bearer )[\w.~+/=-]+/gi, `$1${redacted}`);
  return masked;
}

/** Cuts a text that is too long for a line. */
export function shorten(text: string, lengthMax = textLengthMax): string {
  return text.length <= lengthMax ? text : `${text.slice(0, lengthMax)}… (${text.length} characters)`;
}

/**
 * A value for a log line: secret fields replaced, texts masked and cut, depth and length bounded,
 * no cycles, nothing that JSON cannot hold. `ofError` describes errors within it.
 */
export function redactValue(value: unknown, ofError: (error: Error) => unknown, depth = 0): unknown {
  switch (typeof value) {
    case "string":
      return maskText(shorten(value));
    case "bigint":
      return value.toString();
    case "function":
    case "symbol":
      return undefined;
    case "object":
      break;
    default:
      return value;
  }
  if (value === null) return null;
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? "invalid date" : value.toISOString();
  if (value instanceof Error) return ofError(value);
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  if (value instanceof URL) return maskText(value.href);
  if (depth >= depthMax) return "[…]";
  if (value instanceof Map) return redactValue(Object.fromEntries(value), ofError, depth);
  if (value instanceof Set) return redactValue([...value], ofError, depth);
  if (Array.isArray(value)) {
    const items = value.slice(0, itemsMax).map((item) => redactValue(item, ofError, depth + 1));
    if (value.length > itemsMax) items.push(`… ${value.length - itemsMax} more`);
    return items;
  }
  const clean: Record<string, unknown> = {};
  for (const [name, inner] of Object.entries(value)) setRedacted(clean, name, inner, ofError, depth + 1);
  return clean;
}

/** Sets `target[name]` to the redacted value. */
export function setRedacted(
  target: Record<string, unknown>,
  name: string,
  value: unknown,
  ofError: (error: Error) => unknown,
  depth = 0,
): void {
  if (value === undefined) return;
  // "__proto__" would set the object's prototype instead of a field.
  if (name === "__proto__") return;
  const harmless = value === null || typeof value === "boolean";
  target[name] = !harmless && isSecretField(name) ? redacted : redactValue(value, ofError, depth);
}
