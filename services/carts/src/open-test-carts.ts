import { create } from "@bufbuild/protobuf";
import { CartsService } from "@kontor/contracts/gen/kontor/carts/v1/carts_pb.js";
import { CatalogService, PricedVariantSchema } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import type { PricedVariant } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import { OrderPaidSchema } from "@kontor/contracts/gen/kontor/orders/v1/events_pb.js";
import { OrderLineSchema } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import { contracts } from "@kontor/contracts/registry.ts";
import type { PostgresDatabase } from "@kontor/platform/database/postgres.ts";
import type { Documents } from "@kontor/platform/documents/documents.ts";
import { createPostgresDocuments } from "@kontor/platform/documents/postgres.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import { standIn } from "@kontor/platform/testing/stand-in.ts";
import type { Client } from "@kontor/platform/rpc/rpc.ts";
import type { ServiceContext } from "@kontor/platform/service/service.ts";
import { fakeService } from "@kontor/platform/testing/fake-service.ts";
import { openTestServices, testCall } from "@kontor/platform/testing/test-services.ts";
import type { TestServices } from "@kontor/platform/testing/test-services.ts";
import { carts } from "./service.ts";

/** Carts on a real database, with a catalogue that a test fills and an event log of orders that it writes. */
export interface TestCarts extends TestServices {
  readonly client: Client<typeof CartsService>;
  readonly database: PostgresDatabase;
  /** What can be bought; titles are made of the SKU. */
  sell(sku: string, amount: string, currency?: string, available?: number): void;
  /** The SKUs of each call of the catalogue. */
  readonly priced: string[][];
  stopSelling(sku: string): void;
  /** Writes that an order of the cart with this key was paid: of this version of it, and with these lines. */
  paid(
    cartKey: string,
    ordered?: { readonly version?: number; readonly lines?: readonly (readonly [sku: string, quantity: number])[] },
  ): Promise<void>;
}

export interface TestCartsOptions {
  /** Puts something between the service and its carts' documents, or others in their place. */
  readonly documents?: (documents: Documents) => Documents;
}

const oneOfA: readonly (readonly [sku: string, quantity: number])[] = [["A", 1]];

export const guest: () => Call = () => testCall();
export const user = (id: string): Call => testCall({ user: { id } });

/** The same documents, as if they were in another store than the service's tables. */
export function elsewhere(documents: Documents): Documents {
  return {
    collection: (name) => {
      const { deleteSql: _deleteSql, ...collection } = documents.collection<never>(name);
      return collection;
    },
  };
}

export async function openTestCarts({ documents = (plain) => plain }: TestCartsOptions = {}): Promise<TestCarts> {
  const sold = new Map<string, PricedVariant>();
  const priced: string[][] = [];
  const catalog = standIn(CatalogService, {
    priceLines: async ({ skus }) => {
      priced.push([...skus]);
      return { variants: skus.flatMap((sku) => sold.get(sku) ?? []) };
    },
  });
  let orders: ServiceContext | undefined;
  const fakeOrders = fakeService("orders", (context) => {
    orders = context;
    return { routes: [] };
  });
  const app = await openTestServices({
    services: [fakeOrders, carts],
    engines: {
      documents: (service, database) => {
        const plain = createPostgresDocuments({ database });
        return service === "carts" ? documents(plain) : plain;
      },
    },
    registry: contracts,
    others: { catalog: [catalog] },
  });
  let made = 0;
  return {
    ...app,
    client: app.clients.of("carts", CartsService),
    database: app.services.get("carts")!.database,
    priced,
    sell: (sku, amount, currency = "EUR", available) =>
      void sold.set(
        sku,
        create(PricedVariantSchema, {
          sku,
          product: `prd_${sku}`,
          variant: `var_${sku}`,
          title: `The ${sku}`,
          price: { currency, amount },
          ...(available !== undefined && { available }),
        }),
      ),
    stopSelling: (sku) => void sold.delete(sku),
    paid: async (cart, { version: cartVersion = 1, lines = oneOfA } = {}) => {
      const { database, events } = orders!;
      const order = `ord_${++made}`;
      const paid = create(OrderPaidSchema, {
        order: { order, cart, cartVersion, lines: lines.map(([sku, quantity]) => create(OrderLineSchema, { sku, quantity })) },
      });
      await database.transaction((tx) =>
        events.append(tx, testCall({ caller: "orders" }), [{ stream: order, expectedVersion: 0, events: [paid] }]),
      );
    },
  };
}
