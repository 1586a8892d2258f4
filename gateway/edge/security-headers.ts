/** What a page may load and do. A response of the API may do nothing. */
const policies = {
  api: "default-src 'none'; frame-ancestors 'none'",
  /** A service's own page: its styles, and forms that lead back here. */
  servicePage:
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
  /** The pages of the gateway: scripts and styles from files of ours, calls to this address. */
  page: "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
  /** The API reference: as `page`, but its bundle writes style elements. */
  apiReference:
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; img-src 'self' data:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
} as const;

export type Policy = keyof typeof policies;

/** The headers that every response carries, errors included: a flat list of names and values for each kind of response. */
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
  return { api: list("api"), servicePage: list("servicePage"), page: list("page"), apiReference: list("apiReference") };
}
