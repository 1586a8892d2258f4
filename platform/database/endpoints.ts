import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import type { ConnectionOptions } from "node:tls";
import pg from "pg";
import { within } from "../retry/within.ts";
import { addressesOf, addressText, isLocal } from "./connection.ts";
import type { Address, Connection, TlsMode } from "./connection.ts";

/** One server of a connection with all that is needed to connect there now; it can be spread into pg's options. */
export interface Target extends Address {
  readonly user: string;
  readonly password: string;
  readonly database: string;
  readonly ssl: ConnectionOptions | false;
  readonly connectionTimeoutMillis: number;
}

/** The server is a standby, or accepts no writes. */
export class ReadOnlyServer extends Error {}

const connectTimeoutMs = 3_000;
/** With several hosts, one that does not respond must not delay the next one for long. */
const nextHostMs = 1_500;
const passwordTimeoutMs = 3_000;
/** A password may have been rotated after it was read, or be stored a moment after it was changed. */
const passwordRetryMs = [50, 200, 500];

/** The servers of a connection. The one that was connected to last is tried first. */
export class Endpoints {
  readonly #connection: Connection;
  readonly #addresses: readonly Address[];
  #last = 0;

  constructor(connection: Connection) {
    this.#connection = connection;
    this.#addresses = addressesOf(connection);
  }

  /**
   * Returns what `attempt` returns for the first server that accepts the connection; an attempt that throws `ReadOnlyServer` makes it try the next
   * one. When there is none, rejects with the server's error, or with the last one's and those of the others in its message.
   */
  async connect<T>(attempt: (target: Target) => Promise<T>): Promise<T> {
    const failures: Error[] = [];
    const count = this.#addresses.length;
    for (let nth = 0; nth < count; nth++) {
      const at = (this.#last + nth) % count;
      try {
        const opened = await this.#tryOne(this.#addresses[at]!, attempt);
        this.#last = at;
        return opened;
      } catch (error) {
        failures.push(explained(error, this.#addresses[at]!, this.#connection));
      }
    }
    if (count === 1) throw failures[0]!;
    const errors = failures.map(({ message }) => message).join("; ");
    // Of several, an error of PostgreSQL itself says most.
    const telling = failures.find((error) => error instanceof pg.DatabaseError) ?? failures.at(-1)!;
    if (telling instanceof pg.DatabaseError) throw telling;
    throw new Error(`none of ${this.#addresses.map(addressText).join(", ")} accepts the connection: ${errors}`, { cause: telling });
  }

  async #tryOne<T>(address: Address, attempt: (target: Target) => Promise<T>): Promise<T> {
    for (let tries = 0; ; tries++)
      try {
        return await attempt(await this.#target(address));
      } catch (error) {
        const waitMs = passwordRetryMs[tries];
        const rotating = typeof this.#connection.password === "function";
        if (!rotating || waitMs === undefined || !(error instanceof pg.DatabaseError) || error.code !== "28P01") throw error;
        await sleep(waitMs);
      }
  }

  async #target(address: Address): Promise<Target> {
    const { user, password, database, others = [] } = this.#connection;
    return {
      ...address,
      user,
      database,
      password: typeof password === "string" ? password : await resolve(password),
      ssl: await tlsTo(address.host, this.#connection),
      connectionTimeoutMillis: others.length > 0 ? nextHostMs : connectTimeoutMs,
    };
  }
}

async function resolve(password: () => Promise<string>): Promise<string> {
  let resolved: string | undefined;
  try {
    resolved = await within(passwordTimeoutMs, password());
  } catch (cause) {
    throw new Error("The database's password could not be read", { cause });
  }
  if (resolved === undefined) throw new Error(`The database's password could not be read within ${passwordTimeoutMs} ms`);
  return resolved;
}

/** How the server's certificate is verified. The file of authorities is read each time, so that it can be replaced. */
async function tlsTo(host: string, connection: Connection): Promise<ConnectionOptions | false> {
  const mode = modeFor(host, connection);
  if (mode === "disable") return false;
  if (mode === "require") return { rejectUnauthorized: false };
  const { tlsRootFile } = connection;
  return {
    rejectUnauthorized: true,
    ...(tlsRootFile !== undefined && { ca: await readFile(tlsRootFile) }),
    ...(mode === "verify-ca" && { checkServerIdentity: () => undefined }),
  };
}

function modeFor(host: string, { tls }: Connection): TlsMode {
  // There is no TLS on a unix socket.
  if (host.startsWith("/")) return "disable";
  return tls ?? (isLocal(host) ? "disable" : "verify-full");
}

const unknownAuthority = new Set([
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "CERT_SIGNATURE_FAILURE",
]);

/** Says what a person can do about an error of connecting. PostgreSQL's own errors stay as they are. */
function explained(error: unknown, address: Address, connection: Connection): Error {
  if (!(error instanceof Error)) return new Error(String(error));
  if (error instanceof pg.DatabaseError) return error;
  const code = "code" in error && typeof error.code === "string" ? error.code : "";
  const where = addressText(address);
  const because = (message: string): Error => new Error(message, { cause: error });
  if (unknownAuthority.has(code))
    return because(
      `The certificate of PostgreSQL at ${where} is signed by none of the authorities in ${connection.tlsRootFile ?? "Node.js"}: name the right file with sslrootcert`,
    );
  if (code === "CERT_HAS_EXPIRED") return because(`The certificate of PostgreSQL at ${where} has expired`);
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID")
    return because(`The certificate of PostgreSQL at ${where} is made out to another host: ${error.message}`);
  if (error.message === "The server does not support SSL connections")
    return because(
      `PostgreSQL at ${where} has no TLS, and without it passwords and data go over the network in plain text: switch it on there, or allow that with sslmode=disable`,
    );
  return error instanceof ReadOnlyServer || error.message.includes(where) ? error : because(`PostgreSQL at ${where}: ${error.message}`);
}
