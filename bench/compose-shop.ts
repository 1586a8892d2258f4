import { randomBytes } from "node:crypto";
import { CatalogService } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import { IdentityService } from "@kontor/contracts/gen/kontor/identity/v1/identity_pb.js";
import { InventoryService } from "@kontor/contracts/gen/kontor/inventory/v1/inventory_pb.js";
import { rootCall } from "@kontor/platform/call/call.ts";
import type { Clients } from "@kontor/platform/rpc/rpc.ts";
import { makeProducts } from "./products.ts";

const call = () => rootCall({ caller: "kontor", timeoutMs: 60_000 });

/** Puts products with stock into a shop. */
export async function fill(clients: Clients, { products, stock }: { readonly products: number; readonly stock: number }): Promise<void> {
  const catalog = clients.of("catalog", CatalogService);
  const inventory = clients.of("inventory", InventoryService);
  const made = makeProducts(products);
  for (let at = 0; at < made.length; at += 100) {
    const batch = made.slice(at, at + 100);
    await catalog.importProducts({ products: batch }, call());
    const skus = batch.flatMap(({ product }) => product.variants.map(({ sku }) => sku));
    await inventory.importStock({ stock: skus.map((sku) => ({ sku, onHand: stock })) }, call());
  }
}

export interface Account {
  readonly email: string;
  readonly password: string;
}

/** As identity hashes two passwords at a time and lets few others wait. */
const accountsAtOnce = 8;

/** Creates verified accounts. */
export async function shoppers(clients: Clients, count: number): Promise<Account[]> {
  const identity = clients.of("identity", IdentityService);
  const accounts = Array.from({ length: count }, (_, at) => ({
    email: `shopper${at}-${randomBytes(4).toString("hex")}@bench.example`,
    password: randomBytes(12).toString("hex"),
  }));
  const missing = [...accounts];
  const worker = async (): Promise<void> => {
    for (let account = missing.pop(); account !== undefined; account = missing.pop())
      await identity.createAccount({ ...account, name: "Bench Shopper", roles: [] }, call());
  };
  await Promise.all(Array.from({ length: accountsAtOnce }, worker));
  return accounts;
}
