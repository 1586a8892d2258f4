import { refusalIn } from "../errors/refusal.ts";
import type { Logger } from "../telemetry/logger.ts";
import { createOpenSearchHttp, isForbidden } from "./opensearch-http.ts";
import { createOpenSearchIndex } from "./opensearch-index.ts";
import type { Search } from "./search.ts";

export interface OpenSearchOptions {
  /** "http://name:password@host:9200"; of a cluster several, which are used in turn. */
  readonly url: string | readonly string[];
  readonly log: Logger;
  /** Authorities that may have signed the certificates of servers with TLS, in PEM; those that Node.js trusts without them. */
  readonly ca?: string;
  /** What the names of all indexes begin with: "kontor-" by default. Two installations on one OpenSearch need two. */
  readonly prefix?: string;
  /** Copies of each index beyond the first: 0 by default. With fewer other nodes than that, the cluster stays yellow. */
  readonly replicas?: number;
  /** After how long at most a put can be found: 200 by default. Less costs the server more, also without writes. */
  readonly refreshMs?: number;
}

export interface OpenSearch extends Search {
  /** The same with index names of a service's own. */
  of(service: string): Search;
  /** Throws, with what to do, when the server cannot be used. An unreachable one is logged, and each request tries it again. */
  start(): Promise<void>;
  stop(): Promise<void>;
}

const indexName = /^[a-z0-9][a-z0-9_-]*$/;

/**
 * Search in OpenSearch 2 or later, or Elasticsearch 7.10 or later. A usual query is one request, one with a typing error four. An index
 * has an alias: `rebuild` fills another one beside it and moves the alias. The same words as in PostgreSQL find the same documents in the same order,
 * and a cursor of one continues in the other. Queries refuse with DEPENDENCY_UNAVAILABLE after 2 s a request, puts after 5 s.
 */
export function createOpenSearch({ url, log, ca, prefix = "kontor-", replicas = 0, refreshMs = 200 }: OpenSearchOptions): OpenSearch {
  const http = createOpenSearchHttp({ urls: typeof url === "string" ? [url] : url, ca, log });
  const within = (begin: string): Search => ({
    index: (name, lost) => {
      const alias = `${begin}${name}`;
      if (!indexName.test(alias)) throw new Error(`"${alias}" cannot be the name of an index: lower-case letters, digits, "-" and "_" can`);
      return createOpenSearchIndex(name, { http, alias, log, replicas, refreshMs, lost });
    },
  });
  return {
    ...within(prefix),
    of: (service) => within(`${prefix}${service}-`),
    async start() {
      try {
        const { version } = await http.request<{ readonly version?: ServerVersion }>({ method: "GET", path: "/" });
        const problem = problemOf(version);
        if (problem !== undefined) throw new Error(problem);
      } catch (error) {
        const refusal = refusalIn(error);
        if (refusal?.code !== "unavailable") throw error;
        if (isForbidden(refusal.cause))
          throw new Error("OpenSearch rejects the name and password in its address, or their user lacks permissions", {
            cause: error,
          });
        // It has been logged, and calls are refused until it responds.
      }
    },
    stop: () => http.stop(),
  };
}

interface ServerVersion {
  readonly distribution?: string;
  readonly number?: string;
}

function problemOf({ distribution = "elasticsearch", number }: ServerVersion = {}): string | undefined {
  if (number === undefined)
    return "the server at this address is no OpenSearch: the address of the REST interface is needed, mostly port 9200";
  const [major = 0, minor = 0] = number.split(".").map(Number);
  const known = distribution === "opensearch" ? major >= 2 : major > 7 || (major === 7 && minor >= 10);
  return known ? undefined : `${distribution} ${number} is too old: OpenSearch 2 or later is needed, or Elasticsearch 7.10 or later`;
}
