import { createPrivateKey, KeyObject, randomBytes, X509Certificate } from "node:crypto";
import type { webcrypto } from "node:crypto";
import { isIP } from "node:net";
import type { Extension, JsonName, Name } from "@peculiar/x509";

/** A certificate and its private key (PKCS #8), both as PEM. */
export interface KeyPair {
  readonly certificate: string;
  readonly key: string;
}

export interface AuthorityOptions {
  /** How long it is valid, from now on. */
  readonly days: number;
  readonly now: Date;
}

export interface CertificateOptions {
  /** The service that the certificate names; several when one process runs several. */
  readonly services: readonly string[];
  /** Host names and IP addresses of the process, besides the services' names and this machine's own. */
  readonly hosts?: readonly string[];
  /** How long it is valid, from now on; never longer than its authority. */
  readonly days: number;
  readonly now: Date;
}

const p256 = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" } as const;
const dayMs = 24 * 3_600_000;
/** Clocks of other machines may be behind. */
const skewMs = 5 * 60_000;
const dnsName = /^(?!-)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*$/i;
const serviceName = /^[a-z][a-z0-9-]{0,62}$/;

/** The name that a service has in its certificate. */
export function serviceUri(service: string): string {
  return `spiffe://kontor/${service}`;
}

/**
 * Makes a certificate authority for development: whoever has its key can make a certificate for any service, so it must not leave the machine
 * that made it. In production use an authority such as Vault, cert-manager or SPIRE.
 */
export async function createAuthority({ days, now }: AuthorityOptions): Promise<KeyPair> {
  const x509 = await loadX509();
  const { publicKey, privateKey } = await generateKeys();
  // Two authorities of the same name could not be distinguished when a certificate's chain is built.
  const name = nameOf(`Kontor development CA ${randomBytes(4).toString("hex")}`);
  return signed({
    issuer: name,
    signingKey: privateKey,
    subject: name,
    publicKey,
    privateKey,
    validFrom: now.getTime() - skewMs,
    validTo: now.getTime() + days * dayMs,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(publicKey),
    ],
  });
}

/**
 * Makes a key and a certificate for a service's process, for both ends of a connection. Throws when a service or host is not valid in a
 * certificate, or the authority's certificate and key do not belong together.
 */
export async function issueCertificate(authority: KeyPair, { services, hosts = [], days, now }: CertificateOptions): Promise<KeyPair> {
  const invalid = services.find((service) => !serviceName.test(service));
  if (services.length === 0 || invalid !== undefined) throw new Error(`"${invalid ?? ""}" cannot be a service's name`);
  const names = [...new Set(["localhost", ...services, "127.0.0.1", "::1", ...hosts])];
  const unknown = names.find((host) => !isHost(host));
  if (unknown !== undefined) throw new Error(`"${unknown}" is neither a host's name nor an IP address`);
  const { certificate, validTo, signingKey } = readAuthority(authority);
  const x509 = await loadX509();
  const issuer = new x509.X509Certificate(certificate);
  // Of the issuer's own extension, because authorities may derive it differently.
  const issuerKeyId = issuer.getExtension(x509.SubjectKeyIdentifierExtension)?.keyId;
  const { publicKey, privateKey } = await generateKeys();
  return signed({
    issuer: issuer.subjectName,
    signingKey,
    subject: nameOf(services.join(", ").slice(0, 64)),
    publicKey,
    privateKey,
    validFrom: now.getTime() - skewMs,
    validTo: Math.min(now.getTime() + days * dayMs, validTo.getTime()),
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
      await x509.SubjectKeyIdentifierExtension.create(publicKey),
      ...(issuerKeyId === undefined ? [] : [new x509.AuthorityKeyIdentifierExtension(issuerKeyId)]),
      new x509.SubjectAlternativeNameExtension([
        ...services.map((service) => ({ type: "url" as const, value: serviceUri(service) })),
        ...names.map(hostName),
      ]),
    ],
  });
}

/** Whether a certificate can name this host: a DNS name or an IP address. */
export function isHost(host: string): boolean {
  return isIP(host) === 0 ? host.length <= 253 && dnsName.test(host) : !host.includes("%");
}

function hostName(host: string) {
  if (isIP(host) === 0) return { type: "dns", value: host } as const;
  // In hexadecimal groups alone, as a URL has them: the library reads an address that ends like an IPv4 address wrongly.
  return { type: "ip", value: isIP(host) === 6 ? new URL(`http://[${host}]`).hostname.slice(1, -1) : host } as const;
}

/** Loaded when a certificate is made, because it takes a third of a second and a polyfill of `Reflect`. */
async function loadX509() {
  await import("reflect-metadata");
  return import("@peculiar/x509");
}

function generateKeys() {
  return crypto.subtle.generateKey(p256, true, ["sign", "verify"]);
}

/** Throws unless it is one of ours, and certificate and key belong together. */
function readAuthority(authority: KeyPair) {
  const certificate = new X509Certificate(authority.certificate);
  const key = createPrivateKey(authority.key);
  if (!certificate.checkPrivateKey(key)) throw new Error("the authority's key is not that of its certificate");
  if (!/^O=Kontor\nCN=[^\n]*$/.test(certificate.subject)) throw new Error("the authority is not one of Kontor's development authorities");
  return { certificate: certificate.raw, validTo: certificate.validToDate, signingKey: key.toCryptoKey(p256, false, ["sign"]) };
}

interface Unsigned {
  readonly issuer: Name | JsonName;
  readonly signingKey: webcrypto.CryptoKey;
  readonly subject: JsonName;
  readonly publicKey: webcrypto.CryptoKey;
  readonly privateKey: webcrypto.CryptoKey;
  readonly validFrom: number;
  readonly validTo: number;
  readonly extensions: readonly Extension[];
}

async function signed({ privateKey, validFrom, validTo, extensions, ...rest }: Unsigned): Promise<KeyPair> {
  const { X509CertificateGenerator } = await loadX509();
  const certificate = await X509CertificateGenerator.create({
    ...rest,
    notBefore: wholeSecond(validFrom),
    notAfter: wholeSecond(validTo),
    signingAlgorithm: p256,
    extensions: [...extensions],
  });
  return {
    certificate: new X509Certificate(Buffer.from(certificate.rawData)).toString(),
    key: String(KeyObject.from(privateKey).export({ type: "pkcs8", format: "pem" })),
  };
}

/** RFC 5280 allows no fractions of a second. */
function wholeSecond(ms: number): Date {
  return new Date(Math.floor(ms / 1_000) * 1_000);
}

function nameOf(commonName: string): JsonName {
  return [{ O: ["Kontor"] }, { CN: [commonName] }];
}
