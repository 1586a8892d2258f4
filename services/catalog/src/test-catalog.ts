import type { MessageInitShape } from "@bufbuild/protobuf";
import { create } from "@bufbuild/protobuf";
import { CatalogService } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import type {
  CreateProductRequestSchema,
  ImportedProductSchema,
  ListProductsRequestSchema,
  Product,
} from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import { EventLogService } from "@kontor/contracts/gen/kontor/events/v1/events_pb.js";
import type { Event } from "@kontor/contracts/gen/kontor/events/v1/events_pb.js";
import type { StockPolicy } from "@kontor/contracts/gen/kontor/inventory/v1/inventory_pb.js";
import { StockMovedSchema } from "@kontor/contracts/gen/kontor/inventory/v1/events_pb.js";
import { contracts } from "@kontor/contracts/registry.ts";
import { refusalIn } from "@kontor/platform/errors/refusal.ts";
import type { Refusal } from "@kontor/platform/errors/refusal.ts";
import { fakeService } from "@kontor/platform/testing/fake-service.ts";
import { openTestServices, testCall } from "@kontor/platform/testing/test-services.ts";
import type { TestServicesOptions } from "@kontor/platform/testing/test-services.ts";
import { catalog } from "./service.ts";

export type ProductInit = Exclude<MessageInitShape<typeof CreateProductRequestSchema>, { readonly $typeName: string }>;
export type ListInit = MessageInitShape<typeof ListProductsRequestSchema>;

/** Stands in for inventory: a log that stock events are written to. */
const inventory = fakeService("inventory");

/** The catalogue with helpers of its tests. */
export async function openCatalog(options: Pick<TestServicesOptions, "engines"> = {}) {
  const app = await openTestServices({ services: [catalog, inventory], registry: contracts, ...options });
  const hosted = app.services.get("catalog")!;
  const client = app.clients.of("catalog", CatalogService);
  const edge = app.rpc.clientsFor("gateway").of("catalog", CatalogService);
  const admin = (idempotencyKey?: string) =>
    testCall({ caller: "gateway", user: { id: "usr_admin", roles: ["admin"] }, ...(idempotencyKey !== undefined && { idempotencyKey }) });
  const stock = app.services.get("inventory")!;
  let stockEvents = 0;
  return {
    ...app,
    hosted,
    client,
    edge,
    admin,
    create: (product: ProductInit) => edge.createProduct(product, admin()),
    get: (product: string) => edge.getProduct({ product }, shopper()),
    list: (request: ListInit = {}) => edge.listProducts(request, shopper()),
    /** All pages of a list, each of another size. */
    listAll: async (request: ListInit, call = admin()): Promise<Product[]> => {
      const items: Product[] = [];
      let cursor: string | undefined = "";
      for (let page = 0; cursor !== undefined; page++) {
        const response = await edge.listProducts({ ...request, cursor, limit: 1 + ((page * 7) % 10) }, call);
        items.push(...response.items);
        cursor = response.nextCursor;
      }
      return items;
    },
    importProducts: (products: readonly MessageInitShape<typeof ImportedProductSchema>[]) =>
      client.importProducts({ products: [...products] }, testCall()),
    /** Publishes stock figures as inventory does, in one batch. */
    publishStock: async (...figures: readonly { sku: string; available: number; version: number; policy?: StockPolicy }[]) => {
      await stock.database.transaction((tx) =>
        stock.log.append(
          tx,
          testCall(),
          // A stream of its own each, because here the figures may come in any order.
          figures.map(({ sku, available, version, policy }) => ({
            stream: `${sku}/${stockEvents++}`,
            expectedVersion: 0,
            events: [
              create(StockMovedSchema, { stock: { sku, available, onHand: available, version, ...(policy !== undefined && { policy }) } }),
            ],
          })),
        ),
      );
    },
    /** The whole log, in its order. */
    log: async (): Promise<Event[]> => {
      // A reader does not get events before which older transactions on the server may still write.
      await app.settle();
      const log = app.clients.of("catalog", EventLogService);
      const all: Event[] = [];
      for (;;) {
        const after = all.at(-1)?.position;
        const { events } = await log.readEvents({ limit: 1000, ...(after && { after }) }, testCall());
        if (events.length === 0) return all;
        all.push(...events);
      }
    },
  };
}

/** A call of somebody who is not signed in. */
export function shopper() {
  return testCall({ caller: "gateway" });
}

/** What a product needs at least. */
export function simple(sku: string, changed: ProductInit = {}): ProductInit {
  return { title: `Product ${sku}`, variants: [{ sku, price: { currency: "EUR", amount: "19.99" } }], status: 2, ...changed };
}

/** The refusal that a call ends in; throws when it ends in none. */
export async function refusalOf(call: Promise<unknown>): Promise<Refusal> {
  try {
    await call;
  } catch (error) {
    const refusal = refusalIn(error);
    if (refusal !== undefined) return refusal;
    throw error;
  }
  throw new Error("it was not refused");
}

/** The refusals among the outcomes of `Promise.allSettled`; throws when one failed otherwise. */
export function refusalsAmong(outcomes: readonly PromiseSettledResult<unknown>[]): Refusal[] {
  return outcomes.flatMap((outcome) => {
    if (outcome.status === "fulfilled") return [];
    const refusal = refusalIn(outcome.reason);
    if (refusal === undefined) throw outcome.reason;
    return [refusal];
  });
}
