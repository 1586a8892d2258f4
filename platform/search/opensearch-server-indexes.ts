import { randomUUID } from "node:crypto";
import { indexDefinition } from "./opensearch-fields.ts";
import { OpenSearchFault } from "./opensearch-http.ts";
import type { OpenSearchHttp } from "./opensearch-http.ts";

/** What is stored with an index about itself. */
export interface IndexMeta {
  readonly made?: string;
  readonly format?: number;
  readonly filled?: boolean;
}

/** Indexes by name, each with the aliases that it has. */
export type IndexAliases = Readonly<Record<string, { readonly aliases: Readonly<Record<string, unknown>> }>>;

type Mappings = Readonly<Record<string, { readonly mappings?: { readonly _meta?: IndexMeta } }>>;

/** The indexes of a server, by their own names or by an alias. */
export interface ServerIndexes {
  /** False when there is one of that name. */
  create(name: string, aliases?: object): Promise<boolean>;
  /** Does nothing when there is none. */
  delete(name: string): Promise<void>;
  metaOf(index: string): Promise<IndexMeta>;
  /** Notes that everything written to it so far can be found, and that nothing is missing from it. */
  setFilled(index: string): Promise<void>;
  aliasesOf(pattern: string): Promise<IndexAliases>;
  /** Carries out all of the actions or none. */
  changeAliases(actions: readonly object[]): Promise<void>;
}

/** Creating and switching indexes takes the server longer than querying them. */
const timeoutMs = 15_000;

/** Whether a request failed because the index does not exist. */
export function isMissing(error: unknown): boolean {
  return error instanceof OpenSearchFault && error.type === "index_not_found_exception";
}

export function createServerIndexes(
  http: OpenSearchHttp,
  { replicas, refreshMs }: { readonly replicas: number; readonly refreshMs: number },
): ServerIndexes {
  async function metaOf(index: string): Promise<IndexMeta> {
    const query = { filter_path: "*.mappings._meta,error.type,error.reason" };
    const mappings = await http.request<Mappings>({ method: "GET", path: `/${index}/_mapping`, query });
    return Object.values(mappings)[0]?.mappings?._meta ?? {};
  }

  return {
    async create(name, aliases = {}) {
      const body = { ...indexDefinition({ made: randomUUID(), replicas, refreshMs }), aliases };
      try {
        await http.request({ method: "PUT", path: `/${name}`, body, timeoutMs });
        return true;
      } catch (error) {
        if (error instanceof OpenSearchFault && error.type === "resource_already_exists_exception") return false;
        throw error;
      }
    },
    async delete(name) {
      await http.request({ method: "DELETE", path: `/${name}`, query: { ignore_unavailable: "true" }, timeoutMs });
    },
    metaOf,
    async setFilled(index) {
      await http.request({ method: "POST", path: `/${index}/_refresh`, timeoutMs });
      const body = { _meta: { ...(await metaOf(index)), filled: true } };
      await http.request({ method: "PUT", path: `/${index}/_mapping`, body, timeoutMs });
    },
    aliasesOf: (pattern) => http.request<IndexAliases>({ method: "GET", path: `/${pattern}/_alias` }),
    async changeAliases(actions) {
      await http.request({ method: "POST", path: "/_aliases", body: { actions }, timeoutMs });
    },
  };
}
