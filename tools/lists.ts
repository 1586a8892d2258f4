import { globSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { file, root } from "./sources.ts";
import type { Source } from "./sources.ts";

/** The files whose lists are not those of the contracts and of the services' definitions; `write` brings them up to date. */
export async function listDrift(write: boolean): Promise<readonly string[]> {
  const drift: string[] = [];
  const compare = ({ path, text }: Source): void => {
    if (file(path).text === text) return;
    drift.push(path);
    if (write) writeFileSync(join(root, path), text);
  };
  compare(registry());
  // Only now: it imports the registry.
  const { serviceLists } = await import("./service-lists.ts");
  for (const list of serviceLists()) compare(list);
  const { retentionPage } = await import("./retention-page.ts");
  compare(retentionPage());
  return drift;
}

/** The registry of all contracts but those of the platform itself, which no client sees. */
function registry(): Source {
  const protos = globSync("kontor/*/v1/*.proto", { cwd: join(root, "contracts/proto") })
    .map((path) => path.replaceAll("\\", "/").replace(/\.proto$/, ""))
    .filter((path) => !/^kontor\/(rpc|testing)\/|^kontor\/api\/v1\/options$/.test(path))
    .toSorted();
  const files = protos.map((path) => ({ path, name: `file_${path.replaceAll("/", "_")}` }));
  const text = `// Made by npm run generate.
import { createRegistry } from "@bufbuild/protobuf";
${files.map(({ path, name }) => `import { ${name} } from "./gen/${path}_pb.js";`).join("\n")}

/** Every message, enum and service of the contracts. */
export const contracts = createRegistry(
${files.map(({ name }) => `  ${name},`).join("\n")}
);
`;
  return { path: "contracts/registry.ts", text };
}
