import { refuse } from "../errors/refusal.ts";

/** Refuses with VERSION_CONFLICT and the current version when the caller has seen another one: "The order is at version 3". */
export function expectVersion(what: string, { version }: { readonly version: number }, seen: number | undefined): void {
  if (seen !== undefined && seen !== version)
    throw refuse({ reason: "VERSION_CONFLICT", code: "aborted", message: `The ${what} is at version ${version}`, details: { version } });
}
