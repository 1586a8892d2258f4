import { lineAt } from "./sources.ts";
import type { Problem, Source } from "./sources.ts";

const silent = /\.(?:catch\(|then\([^;\n]*,)\s*(?:async )?\(?\w*\)? =>\s*(?:undefined|null|void 0|\{\s*\})\s*\)/g;

/**
 * Rejections that are dropped without a reason beside them: handlers that do nothing, in a line without a comment that no comment stands
 * over. The linter sees empty blocks and unused errors, not these. Tests and measurements are left out.
 */
export function swallowedErrors(sources: readonly Source[]): Problem[] {
  return sources
    .filter(({ path }) => !/\.(test|contract)\.ts$|^bench\//.test(path))
    .flatMap(({ path, text }) => {
      const lines = text.split("\n");
      return [...text.matchAll(silent)]
        .map((match) => lineAt(text, match.index))
        .filter((line) => !/\/\/ \S/.test(lines[line - 1] ?? "") && !/^\s*\/\/ \S/.test(lines[line - 2] ?? ""))
        .map((line) => ({ path, line, message: "drops an error: handle it, or say beside it where it is handled" }));
    });
}
