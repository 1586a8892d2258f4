/** Where a database is and as whom to go there. `host` is a name, an address, or the folder of a unix socket (absolute path). */
export interface Connection {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
}

/** Reads `postgres://user:password@host:port/database`. Throws, naming `variable` and never showing the password, when it is not one. */
export function connectionFrom(url: string, variable: string): Connection {
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  if (parsed === undefined || !["postgres:", "postgresql:"].includes(parsed.protocol) || parsed.pathname.length < 2)
    throw new Error(`${variable} must be like postgres://user:password@host:5432/database`);
  const host = decodeURIComponent(parsed.hostname);
  return {
    host: host === "" ? "127.0.0.1" : host.replace(/^\[(.*)\]$/, "$1"),
    port: Number(parsed.port || 5432),
    user: decodeURIComponent(parsed.username),
    password: decodeURIComponent(parsed.password),
    database: decodeURIComponent(parsed.pathname.slice(1)),
  };
}

/** The URL of a connection, with its password: for the environment of our own processes, never for a log. */
export function connectionUrl({ host, port, user, password, database }: Connection): string {
  const at = host.includes(":") ? `[${host}]` : encodeURIComponent(host);
  return `postgres://${encodeURIComponent(user)}:${encodeURIComponent(password)}@${at}:${port}/${encodeURIComponent(database)}`;
}
