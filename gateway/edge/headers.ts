/** What a page may load and do. An answer of the api may nothing. */
const policies = {
  api: "default-src 'none'; frame-ancestors 'none'",
  /** A service's own page: its styles, and forms that lead back here. */
  answer:
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
  /** The pages of the gateway: scripts and styles from files of ours, calls to this address. */
  page: "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
} as const;

export type Policy = keyof typeof policies;

/** The headers that every answer carries, errors included: a flat list of names and values for each kind of answer. */
export function securityHeaders({ https }: { readonly https: boolean }): Readonly<Record<Policy, readonly string[]>> {
  const list = (policy: Policy): readonly string[] => [
    "X-Content-Type-Options",
    "nosniff",
    "X-Frame-Options",
    "DENY",
    "Content-Security-Policy",
    policies[policy],
    "Referrer-Policy",
    "no-referrer",
    "Cross-Origin-Opener-Policy",
    "same-origin",
    // A browser would hold plain http on localhost against us for a year.
    ...(https ? ["Strict-Transport-Security", "max-age=31536000; includeSubDomains"] : []),
  ];
  return { api: list("api"), answer: list("answer"), page: list("page") };
}

export interface Cors {
  /** What an answer to this origin carries: nothing when it is not one of ours. */
  answer(origin: string | undefined): readonly string[];
  /** What the answer to its preflight carries besides. */
  preflight(origin: string | undefined, verbs: string): readonly string[];
  readonly none: boolean;
}

/** Cross-origin rules for exactly these origins ("https://shop.example"). Never "*", never credentials: tokens travel in a header. */
export function corsFor(origins: readonly string[]): Cors {
  const known = new Map(
    origins.map((origin) => [origin, ["Access-Control-Allow-Origin", origin, "Access-Control-Expose-Headers", exposed]]),
  );
  if (known.has("*")) throw new Error('cors origins are named one by one; "*" is not one');
  return {
    none: known.size === 0,
    answer: (origin) => (origin === undefined ? [] : (known.get(origin) ?? [])),
    preflight: (origin, verbs) =>
      origin === undefined || !known.has(origin)
        ? []
        : ["Access-Control-Allow-Methods", verbs, "Access-Control-Allow-Headers", allowed, "Access-Control-Max-Age", "600"],
  };
}

const allowed = "Authorization, Content-Type, Idempotency-Key, If-None-Match, X-Correlation-Id, Traceparent";
const exposed = "ETag, Location, RateLimit, RateLimit-Policy, Retry-After, X-Correlation-Id, WWW-Authenticate";
