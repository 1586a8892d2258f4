import { isDeepStrictEqual } from "node:util";
import type { Problem, Source } from "./sources.ts";

interface Manifest {
  readonly [group: string]: unknown;
}

interface Lock {
  readonly packages: Readonly<
    Record<
      string,
      Manifest & { readonly resolved?: string; readonly integrity?: string; readonly link?: boolean; readonly version?: string }
    >
  >;
}

const groups = ["dependencies", "devDependencies", "optionalDependencies", "peerDependencies"];
const exact = /^(?:npm:(?:@[\w.-]+\/)?[\w.-]+@)?\d+\.\d+\.\d+(?:-[\w.]+)?$/;

/**
 * Where the lock file names an address (it would fetch from there, whichever registry is configured) or lacks a hash. Only optional packages
 * for certain machines may lack one: not every registry offers those of all machines when the lock is made.
 */
export function lockProblems({ path, text }: Source): Problem[] {
  const { packages } = JSON.parse(text) as Lock;
  return Object.entries(packages).flatMap(([name, { resolved, integrity, link, optional, os, cpu }]) => {
    if (!name.includes("node_modules/") || link === true) return [];
    if (resolved !== undefined)
      return [{ path, message: `${name} is resolved to an address: keep omit-lockfile-registry-resolved in .npmrc` }];
    const forSome = optional === true && (os !== undefined || cpu !== undefined);
    return integrity === undefined && !forSome ? [{ path, message: `${name} has no integrity hash` }] : [];
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

/** Workspaces whose dependencies are not those that the lock file has for them, or that it does not know: `npm ci` would refuse. */
export function workspaceProblems(lock: Source, manifests: readonly Source[]): Problem[] {
  const { packages } = JSON.parse(lock.text) as Lock;
  const known = new Set(Object.keys(packages).filter((name) => !name.includes("node_modules/")));
  const problems = manifests.flatMap(({ path, text }) => {
    const folder = path.replace(/\/?package\.json$/, "");
    if (!known.delete(folder)) return [{ path, message: "the lock file has no such workspace: npm run lock" }];
    const manifest = JSON.parse(text) as Manifest;
    return groups.flatMap((group) => {
      const [declared, locked] = [manifest[group] ?? {}, packages[folder]![group] ?? {}];
      return isDeepStrictEqual(declared, locked) ? [] : [{ path, message: `${group} are not those of the lock file: npm run lock` }];
    });
  });
  return [...problems, ...Array.from(known, (folder) => ({ path: lock.path, message: `has a workspace ${folder} that is not there` }))];
}
