import { importsOf, isTestCode, outsideCompany, packageOf } from "./boundaries.ts";
import { lineAt } from "./sources.ts";
import type { Problem, Source } from "./sources.ts";

const prefix = "@kontor/platform/";

/** What the platform offers: its package.json, whose exports are for other packages, and its README, which lists those that services use. */
export interface PlatformOffer {
  readonly manifest: Source;
  readonly readme: Source;
}

/**
 * Imports of modules that the platform does not export, imports by a service's production code that its README does not list, and entries of
 * either that nobody imports.
 */
export function platformProblems(sources: readonly Source[], { manifest, readme }: PlatformOffer): Problem[] {
  const exported = entries(manifest, /"\.\/([^"]+)":/g);
  const seams = entries(readme, /^\| \[([^\]]+)\]/gm);
  const [imported, byServices] = [new Set<string>(), new Set<string>()];
  const refused: Problem[] = [];
  for (const { path, module, line } of sources.flatMap(importsOfPlatform)) {
    imported.add(module);
    if (isService(path)) byServices.add(module);
    if (!exported.has(module))
      refused.push({ path, line, message: `${module} is internal to the platform: ${manifest.path} does not export it` });
    else if (isService(path) && !seams.has(module))
      refused.push({ path, line, message: `${module} is not among the modules of the platform that services use: ${readme.path}` });
  }
  return [
    ...refused,
    ...unused(exported, imported).map((entry) => ({ path: manifest.path, ...entry, message: `no other package imports ${entry.module}` })),
    ...unused(seams, byServices).map((entry) => ({ path: readme.path, ...entry, message: `no service imports ${entry.module}` })),
  ];
}

/** Imports of the platform as a package. The tests of the tools plant some in texts. */
function importsOfPlatform({ path, text }: Source) {
  if (path.startsWith("tools/") && isTestCode(path)) return [];
  return importsOf(text)
    .filter(({ from }) => from.startsWith(prefix))
    .map(({ from, line }) => ({ path, module: from.slice(prefix.length), line }));
}

function isService(path: string): boolean {
  return packageOf(path)?.startsWith("services/") === true && !path.startsWith(outsideCompany) && !isTestCode(path);
}

/** The modules that a pattern finds, with their lines. */
function entries({ text }: Source, pattern: RegExp): Map<string, number> {
  return new Map(Array.from(text.matchAll(pattern), (match) => [match[1]!, lineAt(text, match.index)]));
}

function unused(listed: ReadonlyMap<string, number>, imported: ReadonlySet<string>) {
  return [...listed].filter(([module]) => !imported.has(module)).map(([module, line]) => ({ module, line }));
}
