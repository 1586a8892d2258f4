import type { Retention } from "@kontor/platform/retention/retention.ts";

/** The catalogue is as large as what is sold, and what ever was. */
export const retention: readonly Retention[] = [
  { table: "categories", rows: "categories", stays: "growing", why: "an administrator deletes them" },
  { table: "products", rows: "products", stays: "growing", why: "an administrator archives them: orders and links name them" },
  { table: "variants", rows: "variants", stays: "growing", why: "those of the products" },
  { table: "product_categories", rows: "products in categories", stays: "growing", why: "those of the products" },
  { table: "availability", rows: "copies of stock figures", stays: "growing", why: "one for each SKU that inventory counts" },
];
