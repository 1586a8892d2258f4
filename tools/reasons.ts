import { lineAt } from "./sources.ts";
import type { Problem, Source } from "./sources.ts";

const shared = "api";

/** The code of each reason, by service and name, as the protos' enums say. */
export type Reasons = ReadonlyMap<string, ReadonlyMap<string, string>>;

export function reasonsOf(protos: readonly Source[]): Reasons {
  const reasons = new Map<string, Map<string, string>>();
  for (const { path, text } of protos) {
    const service = /kontor\/([^/]+)\/v\d+\//.exec(path)?.[1] ?? "";
    const known = reasons.get(service) ?? new Map<string, string>();
    reasons.set(service, known);
    for (const [, name, options] of text.matchAll(
      /\b([A-Z][A-Z0-9_]*)\s*=\s*\d+\s*\[\s*\((?:kontor\.api\.v1\.)?refusal\)\s*=\s*\{([^}]*)\}/g,
    )) {
      const code = /\bcode:\s*"(\w+)"/.exec(options ?? "")?.[1];
      if (name !== undefined) known.set(name, code ?? "");
    }
  }
  return reasons;
}

/** Refusals in the sources whose reason no proto has, or has with another code. What tests refuse with is their own affair. */
export function reasonProblems(sources: readonly Source[], reasons: Reasons): Problem[] {
  return sources
    .filter(({ path }) => !path.startsWith("tools/") && !/\.(test|contract)\.ts$/.test(path))
    .flatMap(({ path, text }) =>
      [...text.matchAll(/\breason:\s*"([A-Z][A-Z0-9_]*)",\s*code:\s*"(\w+)"|\bcode:\s*"(\w+)",\s*reason:\s*"([A-Z][A-Z0-9_]*)"/g)].flatMap(
        (match) => {
          const [reason, code] = [match[1] ?? match[4] ?? "", match[2] ?? match[3] ?? ""];
          const problem = problemOf(path, reason, code, reasons);
          return problem === undefined ? [] : [{ path, line: lineAt(text, match.index), message: problem }];
        },
      ),
    );
}

function problemOf(path: string, reason: string, code: string, reasons: Reasons): string | undefined {
  const service = /^services\/([^/]+)\//.exec(path)?.[1];
  // A service refuses with its own reasons and the shared ones; what is no service's may pass on anybody's.
  const scopes = service === undefined ? [...reasons.keys()] : [shared, service];
  const codes = scopes.flatMap((scope) => reasons.get(scope)?.get(reason) ?? []);
  if (codes.length === 0) return `no reason enum${service === undefined ? "" : ` of ${service}`} has ${reason}`;
  return codes.includes(code) ? undefined : `${reason} is ${codes.join(" or ")} in its proto, not ${code}`;
}
