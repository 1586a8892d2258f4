import { randomBytes } from "node:crypto";
import { CatalogService, ProductStatus } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import { IdentityService } from "@kontor/contracts/gen/kontor/identity/v1/identity_pb.js";
import { InventoryService } from "@kontor/contracts/gen/kontor/inventory/v1/inventory_pb.js";
import { readConfiguration } from "@kontor/kontor/configuration.ts";
import { openApp } from "@kontor/kontor/app.ts";
import type { App } from "@kontor/kontor/app.ts";
import { rootCall } from "@kontor/platform/call/call.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import { createLogger } from "@kontor/platform/telemetry/create-logger.ts";
import type { Places } from "./shopper.ts";
import { Shopper } from "./shopper.ts";

/** Makes what a scenario starts from through the services themselves, without the gateway. */
export interface Operator {
  readonly app: App;
  /** Verified accounts, signed in: no mails are sent for them. */
  shoppers(places: Places, count: number, roles?: readonly string[]): Promise<Shopper[]>;
  /** Published products of one variant each, with so many units in stock. Gives their SKUs. */
  products(units: readonly number[]): Promise<string[]>;
}

/** The same for an app of this process. */
export function operatorOf(app: App): Operator {
  const clients = app.clientsFor("kontor");
  const identity = clients.of("identity", IdentityService);
  const catalog = clients.of("catalog", CatalogService);
  const inventory = clients.of("inventory", InventoryService);
  return {
    app,
    shoppers: (places, count, roles = []) =>
      Promise.all(
        Array.from({ length: count }, async () => {
          const shopper = new Shopper(places);
          const { email, password } = shopper;
          await identity.createAccount({ email, password, name: "Ada Shopper", roles: [...roles] }, call());
          return shopper.login();
        }),
      ),
    products: async (units) => {
      const made = units.map((onHand) => ({ sku: `E2E-${randomBytes(5).toString("hex")}`, onHand }));
      const price = { currency: "EUR", amount: "19.99" };
      const products = made.map(({ sku }) => ({
        product: { title: `Thing ${sku}`, status: ProductStatus.PUBLISHED, variants: [{ sku, price }] },
      }));
      const { outcomes } = await catalog.importProducts({ products }, call());
      for (const { outcome, message } of outcomes) if (outcome !== "CREATED") throw new Error(`a product was ${outcome}: ${message}`);
      await inventory.importStock({ stock: made }, call());
      return made.map(({ sku }) => sku);
    },
  };
}

/** Works beside a running shop, on its data, as `kontor` on the command line does. */
export async function asOperator<T>(environment: Readonly<Record<string, string>>, work: (operator: Operator) => Promise<T>): Promise<T> {
  const log = createLogger({ service: "operator", level: "error", format: "pretty", stream: process.stderr });
  const app = await openApp({ config: readConfiguration(environment), log, as: "attached" });
  try {
    return await work(operatorOf(app));
  } finally {
    await app.stop();
  }
}

function call(): Call {
  return rootCall({ caller: "kontor", timeoutMs: 20_000 });
}
