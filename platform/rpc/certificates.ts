import { createHash, createPrivateKey, generateKeyPairSync, randomBytes, sign, X509Certificate } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { addressBytes, bits, integer, namedBits, octets, oid, sequence, set, tagged, taggedContent, time, truth, utf8 } from "./der.ts";
import type { Der } from "./der.ts";

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
  /** The service that the certificate names; several when one process is several. */
  readonly services: readonly string[];
  /** Names and IP addresses under which it is reached, besides the services' names and this machine's own. */
  readonly hosts?: readonly string[];
  /** How long it is valid, from now on; never longer than its authority. */
  readonly days: number;
  readonly now: Date;
}

const ids = {
  ecdsaWithSha256: "1.2.840.10045.4.3.2",
  commonName: "2.5.4.3",
  organization: "2.5.4.10",
  subjectKey: "2.5.29.14",
  keyUsage: "2.5.29.15",
  alternativeName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  authorityKey: "2.5.29.35",
  extendedKeyUsage: "2.5.29.37",
  serverAuthentication: "1.3.6.1.5.5.7.3.1",
  clientAuthentication: "1.3.6.1.5.5.7.3.2",
} as const;

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
 * that made it. In production the authority is somebody else's: Vault, cert-manager, SPIRE.
 */
export function createAuthority({ days, now }: AuthorityOptions): KeyPair {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  // Two authorities with one name would be taken for each other while their certificates are looked for.
  const name = nameOf(`Kontor development CA ${randomBytes(4).toString("hex")}`);
  const certificate = signed({
    issuer: name,
    signer: privateKey,
    subject: name,
    publicKey,
    validFrom: new Date(now.getTime() - skewMs),
    validTo: new Date(now.getTime() + days * dayMs),
    extensions: [
      extension(ids.basicConstraints, sequence(truth, integer(Buffer.of(0))), { critical: true }),
      // Signs certificates and revocation lists.
      extension(ids.keyUsage, namedBits(5, 6), { critical: true }),
      extension(ids.subjectKey, octets(keyId(publicKey))),
    ],
  });
  return { certificate, key: pemOf(privateKey) };
}

/**
 * Makes a key and a certificate for a service's process, for both ends of a connection. Throws when a service or host cannot stand in a
 * certificate, or the authority's certificate and key do not belong together.
 */
export function issueCertificate(authority: KeyPair, { services, hosts = [], days, now }: CertificateOptions): KeyPair {
  const unnameable = services.find((service) => !serviceName.test(service));
  if (services.length === 0 || unnameable !== undefined) throw new Error(`"${unnameable ?? ""}" cannot be a service's name`);
  const issuer = new X509Certificate(authority.certificate);
  const signer = createPrivateKey(authority.key);
  if (!issuer.checkPrivateKey(signer)) throw new Error("the authority's key is not that of its certificate");
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const names = new Set(["localhost", ...services, "127.0.0.1", "::1", ...hosts]);
  const certificate = signed({
    issuer: subjectOf(issuer),
    signer,
    subject: nameOf(services.join(", ").slice(0, 64)),
    publicKey,
    validFrom: new Date(now.getTime() - skewMs),
    validTo: new Date(Math.min(now.getTime() + days * dayMs, issuer.validToDate.getTime())),
    extensions: [
      extension(ids.basicConstraints, sequence(), { critical: true }),
      extension(ids.keyUsage, namedBits(0), { critical: true }),
      extension(ids.extendedKeyUsage, sequence(oid(ids.serverAuthentication), oid(ids.clientAuthentication))),
      extension(ids.subjectKey, octets(keyId(publicKey))),
      extension(ids.authorityKey, sequence(taggedContent(0, keyId(issuer.publicKey)))),
      extension(
        ids.alternativeName,
        sequence(...services.map((service) => taggedContent(6, Buffer.from(serviceUri(service)))), ...Array.from(names, hostName)),
      ),
    ],
  });
  return { certificate, key: pemOf(privateKey) };
}

/** Whether a certificate can name this host: a DNS name or an IP address. */
export function isHost(host: string): boolean {
  return addressBytes(host) !== undefined || (host.length <= 253 && dnsName.test(host));
}

function hostName(host: string): Der {
  if (!isHost(host)) throw new Error(`"${host}" is neither a host's name nor an IP address`);
  const address = addressBytes(host);
  return address === undefined ? taggedContent(2, Buffer.from(host)) : taggedContent(7, address);
}

interface Unsigned {
  readonly issuer: Der;
  readonly signer: KeyObject;
  readonly subject: Der;
  readonly publicKey: KeyObject;
  readonly validFrom: Date;
  readonly validTo: Date;
  readonly extensions: readonly Der[];
}

/** RFC 5280, 4.1. */
function signed({ issuer, signer, subject, publicKey, validFrom, validTo, extensions }: Unsigned): string {
  const algorithm = sequence(oid(ids.ecdsaWithSha256));
  const content = sequence(
    // Version 3.
    tagged(0, integer(Buffer.of(2))),
    integer(randomBytes(16)),
    algorithm,
    issuer,
    sequence(time(validFrom), time(validTo)),
    subject,
    publicKey.export({ type: "spki", format: "der" }),
    tagged(3, sequence(...extensions)),
  );
  const certificate = sequence(content, algorithm, bits(sign("sha256", content, signer)));
  return new X509Certificate(certificate).toString();
}

function extension(id: string, value: Der, { critical = false } = {}): Der {
  return sequence(oid(id), ...(critical ? [truth] : []), octets(value));
}

function nameOf(commonName: string): Der {
  const attribute = (id: string, value: string) => set(sequence(oid(id), utf8(value)));
  return sequence(attribute(ids.organization, "Kontor"), attribute(ids.commonName, commonName));
}

/** The authority's name as we write it; its certificate is ours, or says the same in two lines: O=…, CN=…. */
function subjectOf(certificate: X509Certificate): Der {
  const [organization, name, ...more] = certificate.subject.split("\n");
  const commonName = name?.startsWith("CN=") === true ? name.slice(3) : undefined;
  if (organization !== "O=Kontor" || commonName === undefined || more.length > 0)
    throw new Error("the authority is not one of Kontor's development authorities");
  return nameOf(commonName);
}

/** What tells keys of the same name apart: a part of the hash of the key's bits. */
function keyId(publicKey: KeyObject): Buffer {
  const spki = publicKey.export({ type: "spki", format: "der" });
  // The bits of a P-256 key are its last 65 bytes.
  return createHash("sha256").update(spki.subarray(-65)).digest().subarray(0, 20);
}

function pemOf(key: KeyObject): string {
  return String(key.export({ type: "pkcs8", format: "pem" }));
}
