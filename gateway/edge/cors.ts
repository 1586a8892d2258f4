export interface Cors {
  /** Whether no origin is known: then no response depends on it. */
  readonly none: boolean;
  /** What a response to this origin carries; nothing for an unknown one. */
  headersFor(origin: string | undefined): readonly string[];
  /** What the response to its preflight request carries besides. */
  preflight(origin: string | undefined, verbs: string): readonly string[];
  /** On which request headers a read's response depends, and a write's. */
  readonly varyOnRead: readonly string[];
  readonly varyOnWrite: readonly string[];
}

/** Cross-origin rules for exactly these origins ("https://shop.example"). Never "*", never credentials: tokens travel in a header. */
export function corsFor(origins: readonly string[]): Cors {
  const known = new Map(
    origins.map((origin) => [origin, ["Access-Control-Allow-Origin", origin, "Access-Control-Expose-Headers", exposed]]),
  );
  if (known.has("*")) throw new Error('cors origins are named one by one; "*" is not one');
  const none = known.size === 0;
  return {
    none,
    headersFor: (origin) => (origin === undefined ? [] : (known.get(origin) ?? [])),
    preflight: (origin, verbs) =>
      origin === undefined || !known.has(origin)
        ? []
        : ["Access-Control-Allow-Methods", verbs, "Access-Control-Allow-Headers", allowed, "Access-Control-Max-Age", "600"],
    varyOnRead: ["Vary", none ? "Authorization" : "Authorization, Origin"],
    varyOnWrite: none ? [] : ["Vary", "Origin"],
  };
}

const allowed =
  "Authorization, Connect-Protocol-Version, Connect-Timeout-Ms, Content-Type, Idempotency-Key, If-None-Match, Prefer, X-Correlation-Id, Traceparent";
const exposed = "ETag, Location, Preference-Applied, RateLimit, RateLimit-Policy, Retry-After, X-Correlation-Id, WWW-Authenticate";
