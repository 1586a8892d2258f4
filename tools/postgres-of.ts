import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { binariesPackage } from "../platform/database/embedded-binaries.ts";

/** PostgreSQL's binaries for this machine as a tool's folder has them, in the way in which `startEmbeddedPostgres` takes them. */
export function postgresOf(folder: string): string {
  return pathToFileURL(join(folder, "node_modules", binariesPackage, "dist", "index.js")).href;
}
