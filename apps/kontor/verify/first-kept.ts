import { earliestId } from "@kontor/platform/ids/ids.ts";
import { hourMs } from "@kontor/platform/retention/retention.ts";
import type { Look } from "./invariant.ts";

/** Of things with this prefix, the least id whose records must be there that are kept so long. An hour later than that, because sweeps go on meanwhile. */
export function firstKept(prefix: string, keptMs: number, { now }: Pick<Look, "now">): string {
  return earliestId(prefix, new Date(now.getTime() - keptMs + hourMs));
}
