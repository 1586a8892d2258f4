import { createHash } from "node:crypto";
import { existsSync, globSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";

// The API reference page is Scalar's. Its bundle and the licenses of everything in it are copied from tools/scalar/node_modules, which is
// installed only for this (node tools/tool.ts scalar), to gateway/pages/scalar, which the gateway serves.

const source = join("tools", "scalar", "node_modules");
const target = join("gateway", "pages", "scalar");
const bundleFile = join(target, "standalone.js.gz");

interface Package {
  readonly name: string;
  readonly version: string;
  readonly license?: string;
}

/** The stored files that are not what the installed packages give, by their paths from the root; `write` brings them up to date. */
export function scalarDrift(root: string, write: boolean): readonly string[] {
  const folder = join(root, source, "@scalar", "api-reference");
  if (!existsSync(folder)) return [];
  const bundle = readFileSync(join(folder, "dist", "browser", "standalone.js"));
  const { version } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as Package;
  const manifest = { version, sha256: createHash("sha256").update(bundle).digest("hex") };
  const texts = {
    [join(target, "manifest.json")]: `${JSON.stringify(manifest, null, 2)}\n`,
    [join(target, "LICENSES.txt")]: licensesIn(join(root, source)),
  };
  const differing = Object.keys(texts).filter(
    (path) => !existsSync(join(root, path)) || readFileSync(join(root, path), "utf8") !== texts[path],
  );
  // Compressors of different versions write different bytes for the same content.
  const sameBundle = existsSync(join(root, bundleFile)) && gunzipSync(readFileSync(join(root, bundleFile))).equals(bundle);
  if (write) {
    mkdirSync(join(root, target), { recursive: true });
    for (const path of differing) writeFileSync(join(root, path), texts[path]!);
    if (!sameBundle) writeFileSync(join(root, bundleFile), gzipSync(bundle, { level: 9 }));
  }
  return sameBundle ? differing : [...differing, bundleFile];
}

/** Every installed package with its license, packages with the same text together. One without a text has that of its scope's other packages. */
function licensesIn(modules: string): string {
  const manifests = globSync(["**/node_modules/*/package.json", "**/node_modules/@*/*/package.json"], { cwd: dirname(modules) });
  const packages = manifests.toSorted().map((path) => {
    const folder = join(dirname(modules), dirname(path));
    const { name, version, license = "no license named" } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as Package;
    const [file] = globSync(["[Ll][Ii][Cc][Ee][Nn][CcSs][Ee]*", "[Cc][Oo][Pp][Yy][Ii][Nn][Gg]*"], { cwd: folder }).toSorted();
    const text = file === undefined ? undefined : readFileSync(join(folder, file), "utf8").replaceAll("\r\n", "\n").trim();
    return { label: `${name} ${version} (${license})`, scope: `${name.split("/")[0]} ${license}`, text };
  });
  const byText = new Map<string, Set<string>>();
  for (const { label, scope, text } of packages) {
    const own =
      text ?? packages.find((other) => other.scope === scope && other.text !== undefined)?.text ?? "The package has no license text.";
    byText.set(own, (byText.get(own) ?? new Set()).add(label));
  }
  return [...byText].map(([text, labels]) => `${[...labels].join("\n")}\n\n${text}\n`).join(`\n${"-".repeat(80)}\n\n`);
}
