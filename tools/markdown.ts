import { existsSync, globSync } from "node:fs";
import { join, posix } from "node:path";
import { file, root } from "./sources.ts";
import type { Problem, Source } from "./sources.ts";

/** All pages of ours. */
export function pages(): Source[] {
  return globSync(["*.md", "docs/**/*.md", "{contracts,platform,services,gateway,apps,e2e,bench,tools}/**/*.md"], {
    cwd: root,
    exclude: (name) => name === "node_modules",
  })
    .map((path) => path.replaceAll("\\", "/"))
    .toSorted()
    .map(file);
}

/** The fenced blocks of a language, "" for those without one, as they stand there. */
export function blocks({ text }: Source, language: string): string[] {
  return [...text.matchAll(/^```(\w*)\n([^]*?)^```$/gm)].flatMap(([, name, block]) => (name === language ? [block!] : []));
}

/** Links of a page that lead to no file, or to no heading of the file that they lead to. Addresses elsewhere are not looked at. */
export function linkProblems({ path, text }: Source): Problem[] {
  const prose = text.replace(/^```[^]*?^```$/gm, (block) => block.replace(/[^\n]/g, ""));
  return [...prose.matchAll(/\]\(([^)\s]+)\)|^\[[^\]]+\]:\s*(\S+)/gm)].flatMap((match) => {
    const link = match[1] ?? match[2] ?? "";
    if (/^[a-z][a-z+.-]*:/i.test(link)) return [];
    const [target = "", heading] = link.split("#");
    const found = target === "" ? path : posix.join(posix.dirname(path), decodeURI(target));
    const line = prose.slice(0, match.index).split("\n").length;
    if (found.startsWith("..") || !existsSync(join(root, found))) return [{ path, line, message: `leads to ${link}, which is not there` }];
    return heading === undefined || headings(file(found).text).has(heading)
      ? []
      : [{ path, line, message: `${found} has no heading #${heading}` }];
  });
}

function headings(text: string): Set<string> {
  const slug = (heading: string) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
      .trim()
      .replaceAll(" ", "-");
  return new Set(Array.from(text.matchAll(/^#+ (.+)$/gm), ([, heading]) => slug(heading!)));
}
