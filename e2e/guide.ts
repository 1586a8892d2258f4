import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** A code block of a guide that is about a file: the file's text, or for "diff" what changes in it. */
interface FileBlock {
  readonly path: string;
  readonly language: string;
  readonly text: string;
}

/** The blocks below a line that is nothing but a path in backticks. */
function fileBlocks(guide: string): FileBlock[] {
  return Array.from(guide.matchAll(/^`([^`\n]+)`\n\n```(\w+)\n([^]*?)^```$/gm), ([, path, language, text]) => ({
    path: path!,
    language: language!,
    text: text!,
  }));
}

/**
 * Does what a guide says in a copy of the repository: writes its files and applies its diffs, whose lines are in the order of the file. Throws when a
 * diff has a line that the file does not.
 */
export function applyGuide(guide: string, folder: string): void {
  for (const { path, language, text } of fileBlocks(guide)) {
    const file = join(folder, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, language === "diff" ? patched(readFileSync(file, "utf8"), text, path) : text);
  }
}

function patched(before: string, diff: string, path: string): string {
  const lines = before.split("\n");
  const changes = diff
    .trimEnd()
    .split("\n")
    .map((line) => ({ mark: line[0], text: line.slice(1) }));
  // What is added first is added before the first line that the diff shows.
  const found = (text: string, from: number): number => {
    const at = lines.indexOf(text, from);
    if (at === -1) throw new Error(`${path} has no line ${JSON.stringify(text)}`);
    return at;
  };
  let at = found(changes.find(({ mark }) => mark !== "+")?.text ?? "", 0);
  for (const { mark, text } of changes) {
    if (mark === "+") lines.splice(at++, 0, text);
    else if (mark === "-") lines.splice((at = found(text, at)), 1);
    else at = found(text, at) + 1;
  }
  return lines.join("\n");
}
