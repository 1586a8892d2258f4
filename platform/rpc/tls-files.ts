import { createPrivateKey, X509Certificate } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { readFile, stat } from "node:fs/promises";
import { ConfigError } from "../config/read-config.ts";
import type { Logger } from "../telemetry/logger.ts";
import { identitiesOf } from "./tls-names.ts";

/** The three PEM files; the certificate's may have intermediate ones after it, and the authorities' several. */
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
  /** The last files that were valid together. */
  current(): TlsMaterial;
  /** Calls `listener` whenever there is a new certificate; the function that it returns ends that. */
  changed(listener: (material: TlsMaterial) => void): () => void;
  /** Checks for new files now, as happens every few seconds. Resolves when it is done. */
  check(): Promise<void>;
  stop(): void;
}

type FileKind = keyof TlsPaths;

const variables = { ca: "KONTOR_TLS_CA", cert: "KONTOR_TLS_CERT", key: "KONTOR_TLS_KEY" } as const;
const checkMs = 5_000;

/**
 * Reads and checks the files, and again whenever they change, until it is stopped. Throws `ConfigError`, which names the variable, when one
 * is missing, is no PEM, has expired, or the key is not the certificate's. Such files that appear later are not used until they are valid:
 * certificate and key cannot be replaced at the same moment.
 */
export async function openTlsFiles(paths: TlsPaths, log: Logger): Promise<TlsFiles> {
  let seen = await fingerprintOf(paths);
  let current = await read(paths);
  const listeners = new Set<(material: TlsMaterial) => void>();
  let checking: Promise<void> | undefined;
  let failures = 0;
  if (!isSignedBy(current)) log.warn({}, `${variables.cert} is not signed by ${variables.ca}: is it the right authority?`);

  async function check(): Promise<void> {
    try {
      const fingerprint = await fingerprintOf(paths);
      if (fingerprint === seen) {
        failures = 0;
        return;
      }
      const material = await read(paths);
      // Replaced while they were read: the next check reads them.
      if ((await fingerprintOf(paths)) !== fingerprint) return;
      seen = fingerprint;
      failures = 0;
      if (same(material, current)) return;
      current = material;
      log.info({ identities: material.identities, validTo: material.validTo }, "the TLS certificate was replaced");
    } catch (error) {
      // At the first failure one of the files may not have been replaced yet.
      if (++failures === 2) log.error({ error }, "the new TLS files are not valid; the former ones stay in use");
      return;
    }
    for (const listener of listeners)
      try {
        listener(current);
      } catch (error) {
        log.error({ error }, "a server or client did not accept the new TLS certificate");
      }
  }

  const checkOnce = (): Promise<void> => (checking ??= check().finally(() => (checking = undefined)));
  const timer = setInterval(() => void checkOnce(), checkMs).unref();
  return {
    current: () => current,
    changed: (listener) => {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    check: checkOnce,
    stop: () => {
      clearInterval(timer);
      listeners.clear();
    },
  };
}

/** It changes when a file does, or when the link to it is moved to another one. */
async function fingerprintOf(paths: TlsPaths): Promise<string> {
  const fingerprints = await Promise.all(
    (["ca", "cert", "key"] as const).map(async (kind) => {
      try {
        const { ino, size, mtimeNs } = await stat(paths[kind], { bigint: true });
        return `${ino}/${size}/${mtimeNs}`;
      } catch (error) {
        throw problem(kind, reasonOf(error, paths[kind]), error);
      }
    }),
  );
  return fingerprints.join();
}

async function read(paths: TlsPaths): Promise<TlsMaterial> {
  const [ca, cert, key] = await Promise.all((["ca", "cert", "key"] as const).map((kind) => readPem(paths, kind)));
  const [first] = certificatesIn(ca!, "ca", paths);
  if (!first!.ca) throw problem("ca", `${paths.ca} is not an authority's certificate`);
  const [own] = certificatesIn(cert!, "cert", paths);
  if (!own!.checkPrivateKey(privateKey(key!, paths))) throw problem("key", `${paths.key} is not the key of ${paths.cert}`);
  return { ca: ca!, cert: cert!, key: key!, identities: identitiesOf(own), validTo: own!.validToDate };
}

async function readPem(paths: TlsPaths, kind: FileKind): Promise<Buffer> {
  try {
    return await readFile(paths[kind]);
  } catch (error) {
    throw problem(kind, reasonOf(error, paths[kind]), error);
  }
}

/** The certificates of a file: the own one and intermediate ones, which must be valid now, or authorities, of which some may have expired. */
function certificatesIn(pem: Buffer, kind: FileKind, paths: TlsPaths): X509Certificate[] {
  const blocks = pem.toString("latin1").match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g);
  if (blocks === null) throw problem(kind, `${paths[kind]} holds no certificate in PEM form`);
  const certificates = blocks.map((block) => {
    try {
      return new X509Certificate(block);
    } catch (error) {
      throw problem(kind, `${paths[kind]} holds a certificate that cannot be read`, error);
    }
  });
  // TLS uses the system's time, whatever the shop's clock is.
  const nowMs = Date.now();
  const invalid = certificates.filter(
    ({ validFromDate, validToDate }) => validFromDate.getTime() > nowMs || validToDate.getTime() <= nowMs,
  );
  const [first] = invalid;
  if (first === undefined || (kind === "ca" && invalid.length < certificates.length))
    return certificates.filter((one) => !invalid.includes(one));
  if (first.validFromDate.getTime() > nowMs)
    throw problem(kind, `${paths[kind]} is valid only from ${first.validFromDate.toISOString()} on`);
  throw problem(kind, `${paths[kind]} has expired at ${first.validToDate.toISOString()}`);
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

function reasonOf(error: unknown, path: string): string {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  if (["ENOENT", "ENOTDIR"].includes(code)) return `there is no file ${path}`;
  if (["EACCES", "EPERM"].includes(code)) return `${path} may not be read by this process's user`;
  if (code === "EISDIR") return `${path} is a folder`;
  return `${path} cannot be read: ${String(error)}`;
}

function problem(kind: FileKind, message: string, cause?: unknown): Error {
  return Object.assign(new ConfigError([{ variable: variables[kind], message }]), cause === undefined ? {} : { cause });
}
