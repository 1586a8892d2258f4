import { readFileSync } from "node:fs";

/** A step of the README's first order: a call, or a value that the reader takes from the response before. */
export type ReadmeStep = { readonly curl: string } | { readonly take: string; readonly field: string };

export interface ReadmeOrder {
  /** The shell variables that it begins with, by name. */
  readonly variables: Readonly<Record<string, string>>;
  readonly steps: readonly ReadmeStep[];
}

export const readme: string = readFileSync(new URL("../README.md", import.meta.url), "utf8");

/** The README's "first order with curl", as a reader types it in. */
export function readmeOrder(): ReadmeOrder {
  const block = [...readme.matchAll(/^```sh\n([^]*?)^```$/gm)].map((match) => match[1]!).find((text) => text.includes("curl"));
  if (block === undefined) throw new Error("the README has no block of curl calls");
  const variables: Record<string, string> = {};
  const steps: ReadmeStep[] = [];
  for (const line of block.replaceAll("\\\n", " ").split("\n")) {
    const placeholder = /^(\w+)=…\s+# (\w+) of the response$/.exec(line);
    if (placeholder !== null) steps.push({ take: placeholder[1]!, field: placeholder[2]! });
    else if (/^\w+=/.test(line)) for (const part of line.split(/;\s*/)) addVariable(variables, part);
    else if (line.startsWith("curl ")) steps.push({ curl: line.replace(/\s+#.*$/, "") });
    else if (line.trim() !== "" && !line.startsWith("#")) throw new Error(`the README's block has a line that is none of these: ${line}`);
  }
  return { variables, steps };
}

function addVariable(variables: Record<string, string>, assignment: string): void {
  const [, name, value] = /^(\w+)='?([^']*)'?$/.exec(assignment) ?? [];
  if (name === undefined || value === undefined) throw new Error(`${assignment} sets no variable`);
  variables[name] = value;
}

export interface CurlCall {
  readonly verb: "GET" | "POST";
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string | undefined;
}

/** What a curl command requests, with these variables. Knows `-H` and `-d`. */
export function curlCall(command: string, variables: Readonly<Record<string, string>>): CurlCall {
  const expanded = (text: string): string => text.replace(/\$(\w+)/g, (_, name: string) => variables[name] ?? "");
  const words = Array.from(command.matchAll(/'([^']*)'|"((?:\\.|[^"\\])*)"|(\S+)/g), ([, plain, quoted, bare]) =>
    plain !== undefined ? plain : expanded((quoted ?? bare!).replace(/\\(["\\$])/g, "$1")),
  );
  const after = (option: string): string[] => words.flatMap((word, at) => (words[at - 1] === option ? [word] : []));
  const [url, ...more] = words.slice(1).filter((word, at) => !word.startsWith("-") && !/^-[Hd]$/.test(words[at]!));
  const unknown = [...more, ...words.filter((word) => word.startsWith("-") && !/^-[Hd]$/.test(word))];
  if (url === undefined || unknown.length > 0) throw new Error(`${command} is more than an address, -H and -d`);
  const [body] = after("-d");
  const headers = Object.fromEntries(after("-H").map((header) => header.split(/:\s*/, 2) as [string, string]));
  return { verb: body === undefined ? "GET" : "POST", url, headers, body };
}
