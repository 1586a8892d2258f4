import type { DocumentRetention } from "@kontor/platform/retention/retention.ts";

/** Guests' carts and those of accounts alike. */
export const cartDocuments: DocumentRetention = {
  name: "carts",
  kept: "30 days after its last change",
  why: "whoever comes back within a month finds it; the cart of a paid order goes at once",
};
