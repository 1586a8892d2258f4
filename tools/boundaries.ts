import { posix } from "node:path";
import { lineAt } from "./sources.ts";
import type { Problem, Source } from "./sources.ts";

// apps -> gateway, services -> platform -> nothing of ours, and everyone may read contracts. A service never imports another; what only
// tests use may open its neighbours too, and nothing else imports that.

const names = {
  gateway: "gateway",
  platform: "platform",
  contracts: "contracts",
  e2e: "e2e",
  bench: "bench",
  tools: "tools",
  kontor: "apps/kontor",
};

/** What files of a place may import, beside their own place. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  contracts: [],
  platform: ["contracts"],
  services: ["contracts", "platform"],
  gateway: ["contracts", "platform"],
  apps: ["contracts", "platform", "services", "gateway"],
  e2e: ["contracts", "platform", "services", "gateway", "apps"],
  bench: ["contracts", "platform", "services", "gateway", "apps"],
  tools: ["contracts", "platform", "apps"],
};

/** What does not run in a shop. */
const notInAShop = { e2e: true, bench: true, tools: true };

/** What a service does through a seam of the platform: engines, servers, sockets, files and other processes. */
const engines = new RegExp(
  `^(node:)?(${["http", "https", "http2", "net", "tls", "dgram", "child_process", "cluster", "worker_threads", "sqlite", "fs", "fs/promises"].join("|")})$|` +
    `^(${["pg", "pg-.+", "kysely", "redis", "ioredis", "mongodb", "rabbitmq-client", "amqplib", "kafkajs", "@platformatic/.+", "@opensearch-project/.+"].join("|")}|` +
    `${["@elastic/.+", "@grpc/.+", "@connectrpc/.+", "nodemailer", "smtp-server", "find-my-way", "fastify", "express", "koa", "hono", "undici", "pino", "ajv"].join("|")})(/.*)?$`,
);

/** Another company: it speaks with the service beside it over HTTP, as any provider does, and only tests open it from there. */
export const outsideCompany = "services/payments/provider/";

/** The files in which a service itself is the seam to something outside, and what they may use for it. */
const ownSeams: Readonly<Record<string, RegExp>> = {
  "services/payments/src/http-client.ts": /^node:https?$/, // payment providers
};

/** Tests and what only they use: suites, and helpers that say so by their names. The test cards are the provider's goods. */
export function isTestCode(path: string): boolean {
  return /\.(?:test|contract)\.ts$|\/(?:open-)?test-(?!cards\b)[\w-]+\.ts$|^platform\/testing\//.test(path);
}

/** An import of a file. */
export interface Import {
  readonly from: string;
  readonly line: number;
}

/** All that a TypeScript file imports, dynamically too. Also what only looks like an import, in a comment or a text: better one too many. */
export function importsOf(text: string): Import[] {
  const pattern =
    /(?:^|[\s;}])(?:import|export)\b[^"'`;()]*?\bfrom\s*["']([^"']+)["']|(?:^|[\s;])import\s*["']([^"']+)["']|\b(?:import|require|import\.meta\.resolve)\s*\(\s*["'`]([^"'`]+)["'`]/gm;
  return [...text.matchAll(pattern)].map((match) => {
    const from = match[1] ?? match[2] ?? match[3] ?? "";
    return { from, line: lineAt(text, match.index + match[0].lastIndexOf(from)) };
  });
}

/** The package of ours that a path is in: "platform", "services/orders". Undefined for a path that is not in one. */
export function packageOf(path: string): string | undefined {
  const [folder = "", name] = path.split("/");
  if (!(folder in allowed)) return undefined;
  return folder === "services" || folder === "apps" ? `${folder}/${name ?? ""}` : folder;
}

/** Where an import leads inside of the repository; undefined when it leads out, to npm or node. */
export function targetOf(path: string, from: string): string | undefined {
  if (from.startsWith(".")) return posix.join(posix.dirname(path), from);
  const ours = /^@kontor\/([^/]+)(?:\/(.*))?$/.exec(from);
  if (ours === null) return undefined;
  const name = ours[1]!;
  const folder = name in names ? names[name as keyof typeof names] : `services/${name}`;
  return `${folder}/${ours[2] ?? ""}`;
}

/** The imports that cross a boundary which they may not cross. */
export function boundaryProblems(sources: readonly Source[]): Problem[] {
  return sources.flatMap(({ path, text }) => {
    const own = packageOf(path);
    if (own === undefined) return [];
    return importsOf(text).flatMap(({ from, line }) => {
      const message = problemOf(path, own, from);
      return message === undefined ? [] : [{ path, line, message }];
    });
  });
}

function problemOf(path: string, own: string, from: string): string | undefined {
  const target = targetOf(path, from);
  if (target === undefined) {
    const inService = own.startsWith("services/") && !path.startsWith(outsideCompany) && !isTestCode(path);
    return inService && engines.test(from) && ownSeams[path]?.test(from) !== true
      ? `a service uses ${from} only through a seam of the platform`
      : undefined;
  }
  const other = packageOf(target);
  if (other === undefined) return from.startsWith(".") && target.startsWith("..") ? `${from} leads out of the repository` : undefined;
  const folder = (name: string): string => name.split("/")[0]!;
  if (isTestCode(target) && !isTestCode(path) && !(folder(own) in notInAShop)) return `${from} is for tests only`;
  if (other === own) {
    const outside = [path, target].filter((file) => file.startsWith(outsideCompany)).length;
    return outside === 1 && !isTestCode(path) ? `a service and the company beside it share no code: they speak over HTTP` : undefined;
  }
  // Tools are run by path, not imported, and stay beside what they work on.
  if (from.startsWith(".") && own !== "tools") return `${from} reaches into ${other}: import it as a package`;
  if (own.startsWith("services/") && other.startsWith("services/"))
    return isTestCode(path) ? undefined : `a service never imports another (${other}): call it through a client`;
  return (allowed[folder(own)] ?? []).includes(folder(other)) ? undefined : `${own} must not import ${other}`;
}
