import { randomBytes } from "node:crypto";
import { CatalogService, ProductStatus } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import { IdentityService } from "@kontor/contracts/gen/kontor/identity/v1/identity_pb.js";
import { InventoryService } from "@kontor/contracts/gen/kontor/inventory/v1/inventory_pb.js";
import { readConfiguration } from "@kontor/kontor/configuration.ts";
import { openHouse } from "@kontor/kontor/house.ts";
import type { House } from "@kontor/kontor/house.ts";
import { rootCall } from "@kontor/platform/rpc/call.ts";
import type { Call } from "@kontor/platform/rpc/call.ts";
import { createLogger } from "@kontor/platform/telemetry/create-logger.ts";
import type { Places } from "./shopper.ts";
import { Shopper } from "./shopper.ts";

/** Somebody with the key to the house: makes what a scenario starts from, past the front door. */
export interface Keeper {
  readonly house: House;
  /** Verified accounts, signed in: no mails are sent for them. */
  shoppers(places: Places, count: number, roles?: readonly string[]): Promise<Shopper[]>;
  /** Published products of one variant each, with so many units in stock. Gives their SKUs. */
  goods(units: readonly number[]): Promise<string[]>;
}

/** The same for a house of this process. */
export function keeperOf(house: House): Keeper {
  const clients = house.clientsFor("kontor");
  const identity = clients.of("identity", IdentityService);
  const catalog = clients.of("catalog", CatalogService);
  const inventory = clients.of("inventory", InventoryService);
  return {
    house,
    shoppers: (places, count, roles = []) =>
      Promise.all(
        Array.from({ length: count }, async () => {
          const shopper = new Shopper(places);
          const { email, password } = shopper;
          await identity.createAccount({ email, password, name: "Ada Shopper", roles: [...roles] }, call());
          return shopper.login();
        }),
      ),
    goods: async (units) => {
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
export async function asKeeper<T>(environment: Readonly<Record<string, string>>, work: (keeper: Keeper) => Promise<T>): Promise<T> {
  const log = createLogger({ service: "keeper", level: "error", format: "pretty", stream: process.stderr });
  const house = await openHouse({ config: readConfiguration(environment), log, as: "attached" });
  try {
    return await work(keeperOf(house));
  } finally {
    await house.stop();
  }
}

function call(): Call {
  return rootCall({ caller: "kontor", timeoutMs: 20_000 });
}
