import { isLocal } from "@kontor/platform/database/connection.ts";

/** The schemes that are plain text, and those to use instead. */
const secured: Readonly<Record<string, string>> = {
  redis: "rediss://",
  amqp: "amqps://",
  grpc: "grpcs://",
  http: "https://",
};

/**
 * What to write instead of an address that is not reached by TLS; undefined for one that is. A folder of PostgreSQL's sockets needs none. Of
 * `smtp:` it is one without a user: for a password STARTTLS is required anyway.
 */
export function insteadOfPlain(url: string): string | undefined {
  const [, scheme = "", user = "", hosts = "", query = ""] = /^([^:]+):\/\/([^@/?#]*@)?([^/?#]*)[^?#]*(?:\?([^#]*))?/.exec(url) ?? [];
  const options = new URLSearchParams(query);
  switch (scheme) {
    case "postgres":
    case "postgresql":
      return hosts.split(",").some((host) => isPlainPostgres(hostOf(host), options)) ? "sslmode=verify-full" : undefined;
    case "kafka":
      return options.get("tls") === "true" ? undefined : "tls=true";
    case "mongodb":
    case "mongodb+srv": {
      // The driver accepts two names in upper or lower case, and uses TLS by default where servers are found by DNS.
      const values = Array.from(options).flatMap(([name, value]) => (/^(tls|ssl)$/i.test(name) ? [value] : []));
      const secure = values.length === 0 ? scheme === "mongodb+srv" : values.every((value) => value === "true");
      return secure ? undefined : "tls=true";
    }
    case "smtp":
      return user === "" ? "smtps://, or a user and password" : undefined;
    default:
      return secured[scheme];
  }
}

/** Whether a URL names this machine. */
export function isOnThisMachine(url: string): boolean {
  return URL.canParse(url) && isLocal(new URL(url).hostname.replace(/^\[(.*)\]$/, "$1"));
}

function isPlainPostgres(host: string, options: URLSearchParams): boolean {
  if (/^(\/|%2f)/i.test(host)) return false;
  const mode = options.get("sslmode");
  return mode === null ? !options.has("sslrootcert") && isLocal(host) : mode === "disable";
}

/** "[::1]:5432" → "::1"; none is this machine. */
function hostOf(text: string): string {
  return text.replace(/:\d*$/, "").replace(/^\[(.*)\]$/, "$1") || "localhost";
}
