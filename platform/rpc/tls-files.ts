import { createPrivateKey, X509Certificate } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { ConfigError } from "../config/read-config.ts";
import type { Logger } from "../telemetry/logger.ts";
import { identitiesOf } from "./tls-names.ts";

/** The three PEM files; the certificate's may hold intermediate ones behind it, and the authorities' several. */
export interface TlsPaths {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

export interface TlsMaterial {
  readonly ca: Buffer;
  readonly cert: Buffer;
  readonly key: Buffer;
  /** The services that the certificate names. */
  readonly identities: readonly string[];
  readonly validTo: Date;
}

export interface TlsFiles {
  /** What was last read and fits together. */
  current(): TlsMaterial;
  /** Calls `listener` whenever there is a new certificate; what it gives ends that. */
  changed(listener: (material: TlsMaterial) => void): () => void;
  /** Looks for new files now; happens by itself every few seconds. Resolves when it is done. */
  look(): Promise<void>;
  stop(): void;
}

type Part = keyof TlsPaths;

const variables = { ca: "KONTOR_TLS_CA", cert: "KONTOR_TLS_CERT", key: "KONTOR_TLS_KEY" } as const;
const lookMs = 5_000;

/**
 * Reads and checks the files, and again whenever they change, until it is stopped. Throws `ConfigError`, which names the variable, when one
 * is missing, is no PEM, has expired, or the key is not the certificate's. Later such files leave the ones before in use until they fit:
 * certificate and key cannot be replaced at the same moment.
 */
export async function openTlsFiles(paths: TlsPaths, log: Logger): Promise<TlsFiles> {
  let seen = await marksOf(paths);
  let current = await read(paths);
  const listeners = new Set<(material: TlsMaterial) => void>();
  let looking: Promise<void> | undefined;
  let failures = 0;
  if (!isSignedBy(current)) log.warn({}, `${variables.cert} is not signed by ${variables.ca}: is it the right authority?`);

  async function look(): Promise<void> {
    try {
      const marks = await marksOf(paths);
      if (marks === seen) {
        failures = 0;
        return;
      }
      const material = await read(paths);
      // Replaced while they were read: the next look takes them.
      if ((await marksOf(paths)) !== marks) return;
      seen = marks;
      failures = 0;
      if (same(material, current)) return;
      current = material;
      log.info({ identities: material.identities, validTo: material.validTo }, "the TLS certificate was replaced");
    } catch (error) {
      // The first time one of the files may just not have been replaced yet.
      if (++failures === 2) log.error({ error }, "new TLS files do not fit; the ones before stay in use");
      return;
    }
    for (const listener of listeners)
      try {
        listener(current);
      } catch (error) {
        log.error({ error }, "the new TLS certificate was not taken over everywhere");
      }
  }

  const lookOnce = (): Promise<void> => (looking ??= look().finally(() => (looking = undefined)));
  const timer = setInterval(() => void lookOnce(), lookMs).unref();
  return {
    current: () => current,
    changed: (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    look: lookOnce,
    stop: () => {
      clearInterval(timer);
      listeners.clear();
    },
  };
}

/** What changes when a file does, or when the link to it is moved to another one. */
async function marksOf(paths: TlsPaths): Promise<string> {
  const marks = await Promise.all(
    (["ca", "cert", "key"] as const).map(async (part) => {
      try {
        const { ino, size, mtimeNs } = await stat(paths[part], { bigint: true });
        return `${ino}/${size}/${mtimeNs}`;
      } catch (error) {
        throw problem(part, said(error, paths[part]), error);
      }
    }),
  );
  return marks.join();
}

async function read(paths: TlsPaths): Promise<TlsMaterial> {
  const [ca, cert, key] = await Promise.all((["ca", "cert", "key"] as const).map((part) => readPart(paths, part)));
  const [first] = certificatesIn(ca!, "ca", paths);
  if (!first!.ca) throw problem("ca", `${paths.ca} is not an authority's certificate`);
  const [own] = certificatesIn(cert!, "cert", paths);
  if (!own!.checkPrivateKey(privateKey(key!, paths))) throw problem("key", `${paths.key} is not the key of ${paths.cert}`);
  return { ca: ca!, cert: cert!, key: key!, identities: identitiesOf(own), validTo: own!.validToDate };
}

async function readPart(paths: TlsPaths, part: Part): Promise<Buffer> {
  try {
    return await readFile(paths[part]);
  } catch (error) {
    throw problem(part, said(error, paths[part]), error);
  }
}

/** The certificates of a file: an own one with those it needs, which must be valid now, or authorities, of which some may have expired. */
function certificatesIn(pem: Buffer, part: Part, paths: TlsPaths): X509Certificate[] {
  const blocks = pem.toString("latin1").match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g);
  if (blocks === null) throw problem(part, `${paths[part]} holds no certificate in PEM form`);
  const certificates = blocks.map((block) => {
    try {
      return new X509Certificate(block);
    } catch (error) {
      throw problem(part, `${paths[part]} holds a certificate that cannot be read`, error);
    }
  });
  // The time that TLS goes by, whatever the shop's clock says.
  const nowMs = Date.now();
  const invalid = certificates.filter(
    ({ validFromDate, validToDate }) => validFromDate.getTime() > nowMs || validToDate.getTime() <= nowMs,
  );
  const [first] = invalid;
  if (first === undefined || (part === "ca" && invalid.length < certificates.length))
    return certificates.filter((one) => !invalid.includes(one));
  if (first.validFromDate.getTime() > nowMs)
    throw problem(part, `${paths[part]} is valid only from ${first.validFromDate.toISOString()} on`);
  throw problem(part, `${paths[part]} has expired at ${first.validToDate.toISOString()}`);
}

function privateKey(pem: Buffer, paths: TlsPaths): KeyObject {
  if (pem.includes("ENCRYPTED")) throw problem("key", `${paths.key} is encrypted; the key must be readable`);
  try {
    return createPrivateKey(pem);
  } catch (error) {
    throw problem("key", `${paths.key} holds no private key in PEM form`, error);
  }
}

function isSignedBy({ ca, cert }: TlsMaterial): boolean {
  const paths = { ca: "", cert: "", key: "" };
  const authorities = certificatesIn(ca, "ca", paths);
  return certificatesIn(cert, "cert", paths).some((one) =>
    authorities.some((authority) => one.checkIssued(authority) && one.verify(authority.publicKey)),
  );
}

function same(one: TlsMaterial, other: TlsMaterial): boolean {
  return one.ca.equals(other.ca) && one.cert.equals(other.cert) && one.key.equals(other.key);
}

function said(error: unknown, path: string): string {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  if (["ENOENT", "ENOTDIR"].includes(code)) return `there is no file ${path}`;
  if (["EACCES", "EPERM"].includes(code)) return `${path} may not be read by this process's user`;
  if (code === "EISDIR") return `${path} is a folder`;
  return `${path} cannot be read: ${String(error)}`;
}

function problem(part: Part, message: string, cause?: unknown): Error {
  return Object.assign(new ConfigError([{ variable: variables[part], message }]), cause === undefined ? {} : { cause });
}
