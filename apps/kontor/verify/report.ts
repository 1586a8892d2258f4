import { paint } from "../commands/terminal/paint.ts";
import type { Output } from "../commands/command.ts";
import type { Finding } from "./verify.ts";

/** A finding as it is printed: a line, and below it what breaks it and what there is to know. */
export function findingText(output: Output, { id, title, checked, counts, broken, breaches, notes }: Finding): string {
  const verdict = broken === 0 ? paint(output, "green", "ok    ") : paint(output, "red", "BROKEN");
  const lines = [`${id.padEnd(4)}${verdict}  ${title} (${checked.toLocaleString("en")} ${counts})`];
  for (const breach of breaches) lines.push(`            ${paint(output, "red", "-")} ${breach}`);
  if (broken > breaches.length) lines.push(`            and ${(broken - breaches.length).toLocaleString("en")} more`);
  for (const note of notes) lines.push(`            ${paint(output, "dim", note)}`);
  return `${lines.join("\n")}\n`;
}

/** All findings in one sentence. */
export function summaryText(findings: readonly Finding[]): string {
  const broken = findings.filter((finding) => finding.broken > 0).map(({ id }) => id);
  return broken.length === 0
    ? `All ${findings.length} invariants hold.\n`
    : `${broken.join(", ")} ${broken.length === 1 ? "is" : "are"} broken.\n`;
}
