import { inspect } from "node:util";

const hidden = new Set(["time", "level", "service", "message", "traceId", "spanId", "error"]);
const shades: Readonly<Record<string, string>> = { debug: "90", info: "32", warn: "33", error: "31" };

interface ErrorInLine {
  readonly type?: string;
  readonly message?: string;
  readonly reason?: string;
  readonly stack?: string;
  readonly causes?: readonly ErrorInLine[];
}

/** A JSON log line in a short form for people: clock time, level, service, message and fields, an error below it. */
export function prettyLine(json: string, colors: boolean): string {
  const line = JSON.parse(json) as Record<string, unknown>;
  const paint = (code: string, text: string) => (colors ? `\u001b[${code}m${text}\u001b[0m` : text);
  const level = String(line["level"]);
  let text = paint("90", String(line["time"]).slice(11, 23));
  text += ` ${paint(shades[level] ?? "0", level.padEnd(5))} ${plain(String(line["service"])).padEnd(13)} ${plain(String(line["message"]))}`;
  for (const [key, value] of Object.entries(line)) if (!hidden.has(key)) text += ` ${paint("90", `${plain(key)}=${short(value)}`)}`;
  const error = line["error"] as ErrorInLine | undefined;
  return `${text}${error === undefined ? "" : errorLines(error)}\n`;
}

function errorLines(error: ErrorInLine): string {
  let text = `\n    ${plain(error.type ?? "Error")}: ${error.reason === undefined ? "" : `${plain(error.reason)}: `}${plain(error.message ?? "")}`;
  for (const frame of error.stack?.split("\n") ?? []) if (!frame.includes("node:internal")) text += `\n    ${plain(frame)}`;
  for (const cause of error.causes ?? []) text += `\n  caused by${errorLines(cause)}`;
  return text;
}

function short(value: unknown): string {
  if (typeof value === "string") return /^[\w.:/@+-]+$/.test(value) ? value : JSON.stringify(value);
  return inspect(value, { breakLength: Infinity, depth: 4 });
}

/** Without control characters, so that no text can forge a line or steer the terminal. */
function plain(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
