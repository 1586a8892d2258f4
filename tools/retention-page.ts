import { definitions } from "../apps/kontor/roles.ts";
import { retentions } from "../apps/kontor/retention.ts";
import { platformRetention } from "../platform/retention/platform-retention.ts";
import { dayMs, hourMs, isSwept } from "../platform/retention/retention.ts";
import type { Retention } from "../platform/retention/retention.ts";
import type { Source } from "./sources.ts";

const intro = `<!-- Made by npm run generate from the declarations beside the migrations: \`retention.ts\` of each service. -->

# What is kept, and how long

Every table and every collection of documents, with what becomes of its rows. A test refuses a table without a declaration; another lets a year of a busy shop
pass and finds each table bounded, or meant to grow.

Rows that have a time limit are deleted by one sweeper. In a service it is the task \`housekeeping\`: one row in its database, due every hour, so of several
processes one sweeps. The mailbox and the built-in payment provider sweep themselves. A sweep deletes 500 rows at a time, each time in a transaction of its own
on a connection for background work, found by the index that is named here; what somebody has locked is left to the next one. The times are the shop's clock's,
and are constants in the declarations: no variable changes them, because what else the shop promises depends on them.

How to read "kept":

- **for ever**: meant to grow with the shop. How much that is: [decision 36](decisions/0036-what-grows-and-what-is-swept.md).
- **bounded**: never more than there are of something else.
- **until an operator decides**: something is wrong, and is announced as such; \`npx kontor parked\` and \`npx kontor tasks\` list it.
`;

const stays = { growing: "for ever", bounded: "bounded", held: "until an operator decides" } as const;

/** The page with what becomes of the rows of every table, as it should be. */
export function retentionPage(): Source {
  const parts = [intro, `## The platform's tables, in the database of every service\n\n${tableOf(platformRetention)}`];
  for (const [name, entries] of retentions) {
    const own = entries.filter((entry) => !platformRetention.includes(entry));
    const documents = definitions.find((definition) => definition.name === name)?.documents ?? [];
    const rows = documents.map((one) => line(["documents", `\`${one.name}\``, one.kept, "the expiry of each", one.why]));
    if (own.length + rows.length > 0) parts.push(`## ${name}\n\n${tableOf(own)}${rows.join("")}`);
  }
  return { path: "docs/retention.md", text: parts.join("\n") };
}

function tableOf(entries: readonly Retention[]): string {
  const head = "| table | rows | kept | swept by | why |\n|---|---|---|---|---|\n";
  return head + entries.map((entry) => line([`\`${entry.table}\``, entry.rows, kept(entry), sweptBy(entry), entry.why])).join("");
}

function line(cells: readonly string[]): string {
  return `| ${cells.join(" | ")} |\n`;
}

function kept(entry: Retention): string {
  if (!isSwept(entry)) return stays[entry.stays];
  return entry.keptMs === 0 ? `until ${entry.after}` : `${duration(entry.keptMs)} after ${entry.after}`;
}

function sweptBy(entry: Retention): string {
  if (!isSwept(entry)) return "";
  return `${"idPrefix" in entry.by ? `the time in \`${entry.by.column}\`` : `\`${entry.by.column}\``}, index \`${entry.index}\``;
}

function duration(ms: number): string {
  const [count, unit] = ms % dayMs === 0 ? [ms / dayMs, "day"] : [ms / hourMs, "hour"];
  return `${count} ${unit}${count === 1 ? "" : "s"}`;
}
