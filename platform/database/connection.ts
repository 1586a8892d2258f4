import { readFileSync } from "node:fs";

/** A host is a name, an address, or the folder of a unix socket (absolute path). */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/**
 * How a connection is protected, in libpq's words. "disable": plain text. "require": encrypted, without checking who the server is. "verify-ca": its
 * certificate is signed by a known authority. "verify-full": and issued for the host that was connected to.
 */
export type TlsMode = "disable" | "require" | "verify-ca" | "verify-full";

/** A password, or a function that returns the current one: called before each new connection, for credentials that rotate. */
export type Password = string | (() => Promise<string>);

/** Where a database is and which role connects to it. */
export interface Connection extends Address {
  readonly user: string;
  readonly password: Password;
  readonly database: string;
  /** Further servers of the same database, tried in turn: of a primary and its standbys the one that accepts writes. */
  readonly others?: readonly Address[];
  /** By default "verify-full" for other machines and "disable" for this one. */
  readonly tls?: TlsMode;
  /** A file with the certificates of the authorities that sign servers'; without it those that Node.js trusts. */
  readonly tlsRootFile?: string;
}

const example = "postgres://user:password@host:5432/database";
const modes: readonly string[] = ["disable", "require", "verify-ca", "verify-full"] satisfies TlsMode[];
const parameters: readonly string[] = ["sslmode", "sslrootcert", "target_session_attrs"];

/**
 * Reads `postgres://user:password@host:port,host:port/database?sslmode=verify-full&sslrootcert=/path`. Throws, naming `variable` and never
 * showing the password, when it is malformed, has an unknown parameter, or when the file cannot be read.
 *
 * Without `sslmode` connections to another machine use TLS with a verified certificate, and only those to this machine plain text: libpq's
 * "prefer", which falls back to plain text when an attacker in between wants it, is refused. With `sslrootcert`, "require" means "verify-ca", as in libpq.
 */
export function connectionFrom(url: string, variable: string): Connection {
  const [, user, password = "", hosts = "", database = "", query = ""] =
    /^postgres(?:ql)?:\/\/(?:([^:@/?#]*)(?::([^@/?#]*))?@)?([^@/?#]*)\/([^/?#]+)(?:\?([^#]*))?$/i.exec(url) ?? [];
  const malformed = (): Error => new Error(`${variable} must be like ${example}, with special characters written as %40 and so on`);
  if (database === "") throw malformed();
  try {
    const [first, ...others] = hosts.split(",").map(addressIn);
    if (first === undefined) throw malformed();
    return {
      ...first,
      user: decodeURIComponent(user ?? ""),
      password: decodeURIComponent(password),
      database: decodeURIComponent(database),
      ...(others.length > 0 && { others }),
      ...parametersIn(new URLSearchParams(query), variable),
    };
  } catch (error) {
    // A URIError would show what could not be decoded.
    throw error instanceof URIError || error instanceof RangeError ? malformed() : error;
  }
}

/** The URL of a connection, with its password: for the environment of our own processes, never for a log. Throws when the password is a function. */
export function connectionUrl({ host, port, user, password, database, others = [], tls, tlsRootFile }: Connection): string {
  if (typeof password !== "string") throw new Error("A password that is read for each connection cannot be written into a URL");
  const hosts = [{ host, port }, ...others].map(addressText).join(",");
  const query = new URLSearchParams({ ...(tls && { sslmode: tls }), ...(tlsRootFile !== undefined && { sslrootcert: tlsRootFile }) });
  const url = `postgres://${encodeURIComponent(user)}:${encodeURIComponent(password)}@${hosts}/${encodeURIComponent(database)}`;
  return query.size > 0 ? `${url}?${query.toString()}` : url;
}

/** The hosts of a connection, in order. */
export function addressesOf({ host, port, others = [] }: Connection): readonly Address[] {
  return [{ host, port }, ...others];
}

/** For messages: "db.example:5432". */
export function addressText({ host, port }: Address): string {
  return `${host.includes(":") ? `[${host}]` : encodeURIComponent(host)}:${port}`;
}

/** Whether the connection stays on this machine. */
export function isLocal(host: string): boolean {
  return host.startsWith("/") || host === "localhost" || host === "::1" || /^127(\.\d{1,3}){3}$/.test(host);
}

function addressIn(text: string): Address {
  const [, host = "", port = "5432"] = /^(\[[0-9a-f:.]+\]|[^:[\]]*)(?::(\d{1,5}))?$/i.exec(text) ?? [undefined, " "];
  if (/\s/.test(host) || Number(port) > 65_535 || Number(port) === 0) throw new RangeError("not an address");
  return { host: host === "" ? "127.0.0.1" : decodeURIComponent(host).replace(/^\[(.*)\]$/, "$1"), port: Number(port) };
}

function parametersIn(query: URLSearchParams, variable: string): Pick<Connection, "tls" | "tlsRootFile"> {
  for (const name of query.keys())
    if (!parameters.includes(name))
      throw new Error(`${variable}: the parameter ${name} is unknown; the known ones are ${parameters.join(", ")}`);
  const mode = query.get("sslmode");
  const rootFile = query.get("sslrootcert");
  const session = query.get("target_session_attrs");
  if (mode !== null && !modes.includes(mode))
    throw new Error(
      `${variable}: sslmode must be one of ${modes.join(", ")}${["prefer", "allow"].includes(mode) ? `; ${mode} would fall back to plain text` : ""}`,
    );
  // Of several hosts, the one that accepts writes is always taken; the parameter may say so, but nothing else.
  if (session !== null && session !== "read-write" && session !== "primary")
    throw new Error(`${variable}: target_session_attrs can only be read-write, which it is anyway`);
  if (rootFile !== null && mode === "disable") throw new Error(`${variable}: sslrootcert needs an sslmode other than disable`);
  if (rootFile !== null && rootFile !== "system") checkRootFile(rootFile, variable);
  const strict = rootFile !== null && (mode === "require" || mode === null) ? (mode === null ? "verify-full" : "verify-ca") : mode;
  return {
    ...(strict !== null && { tls: strict as TlsMode }),
    ...(rootFile !== null && rootFile !== "system" && { tlsRootFile: rootFile }),
  };
}

function checkRootFile(path: string, variable: string): void {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new Error(
      `${variable}: the file ${path} of sslrootcert cannot be read: ${(error as NodeJS.ErrnoException).code ?? "unknown error"}`,
      {
        cause: error,
      },
    );
  }
  if (!text.includes("-----BEGIN CERTIFICATE-----")) throw new Error(`${variable}: the file ${path} of sslrootcert holds no certificate`);
}
