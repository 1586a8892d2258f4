import type { Queries } from "../database/database.ts";

/**
 * What a service says about its own database, for `kontor verify`, which compares services with each other. Facts are values of the domain:
 * no table or column has a name outside of the service. They only read, page by page in the order of a key, in statements that are short
 * beside a running shop. This module of a service is loaded only where facts are read.
 */
export interface ServiceFacts<Facts> {
  /** Whose database they are read from. */
  readonly service: string;
  readonly from: (queries: Queries) => Facts;
}
