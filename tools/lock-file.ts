import type { Problem, Source } from "./sources.ts";

interface Manifest {
  readonly [group: string]: unknown;
}

interface Lock {
  readonly packages: Readonly<
    Record<string, { readonly resolved?: string; readonly integrity?: string; readonly link?: boolean; readonly version?: string }>
  >;
}

const groups = ["dependencies", "devDependencies", "optionalDependencies", "peerDependencies"];
const exact = /^(?:npm:(?:@[\w.-]+\/)?[\w.-]+@)?\d+\.\d+\.\d+(?:-[\w.]+)?$/;

/** Where the lock file names an address (it would fetch from there, whichever registry is configured) or lacks a hash. */
export function lockProblems({ path, text }: Source): Problem[] {
  const { packages } = JSON.parse(text) as Lock;
  return Object.entries(packages).flatMap(([name, { resolved, integrity, link }]) => {
    if (!name.includes("node_modules/") || link === true) return [];
    if (resolved !== undefined)
      return [{ path, message: `${name} is resolved to an address: keep omit-lockfile-registry-resolved in .npmrc` }];
    return integrity === undefined ? [{ path, message: `${name} has no integrity hash` }] : [];
  });
}

/** Dependencies that are not pinned to one version of the registry. */
export function manifestProblems({ path, text }: Source): Problem[] {
  const manifest = JSON.parse(text) as Manifest;
  return groups.flatMap((group) =>
    Object.entries((manifest[group] ?? {}) as Record<string, string>).flatMap(([name, version]) =>
      exact.test(version) || (name.startsWith("@kontor/") && version === "*")
        ? []
        : [{ path, message: `${name} ${version} is no exact version` }],
    ),
  );
}
