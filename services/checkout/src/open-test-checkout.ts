import { CartsService } from "@kontor/contracts/gen/kontor/carts/v1/carts_pb.js";
import { CatalogService } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import { CheckoutService } from "@kontor/contracts/gen/kontor/checkout/v1/checkout_pb.js";
import type { PlaceOrderResponse } from "@kontor/contracts/gen/kontor/checkout/v1/checkout_pb.js";
import { InventoryService } from "@kontor/contracts/gen/kontor/inventory/v1/inventory_pb.js";
import { OrdersService } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import type { Order } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import { PaymentsService } from "@kontor/contracts/gen/kontor/payments/v1/payments_pb.js";
import { contracts } from "@kontor/contracts/registry.ts";
// The services that checkout works with, as they are: what is shown here is what they do together. Tests only.
// oxlint-disable no-restricted-imports
import { carts } from "@kontor/carts/src/service.ts";
import { inventory } from "@kontor/inventory/src/service.ts";
import { unlimitedHoldings } from "@kontor/inventory/src/test-settings.ts";
import { orders } from "@kontor/orders/src/service.ts";
import { scriptedProvider } from "@kontor/payments/src/scripted-provider.ts";
import type { ScriptedProvider } from "@kontor/payments/src/scripted-provider.ts";
import { paymentsWith } from "@kontor/payments/src/open-test-payments.ts";
// oxlint-enable no-restricted-imports
import type { Database } from "@kontor/platform/database/database.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import { standIn } from "@kontor/platform/testing/stand-in.ts";
import type { Client, Route } from "@kontor/platform/rpc/rpc.ts";
import type { ServiceDefinition } from "@kontor/platform/service/service.ts";
import { openTestServices, testCall } from "@kontor/platform/testing/test-services.ts";
import type { TestServices } from "@kontor/platform/testing/test-services.ts";
import { checkout } from "./service.ts";

export const hourMs = 3_600_000;

/** Refused: decided against. Unavailable: not executed, no response. Lost: executed, no response. */
export type StepFault = "refused" | "unavailable" | "lost";

/** Checkout with carts, inventory, orders and payments on real databases; the catalogue and the payment provider are scripted. */
export interface TestCheckout extends TestServices {
  readonly provider: ScriptedProvider;
  readonly checkout: Client<typeof CheckoutService>;
  readonly carts: Client<typeof CartsService>;
  readonly inventory: Client<typeof InventoryService>;
  readonly orders: Client<typeof OrdersService>;
  readonly payments: Client<typeof PaymentsService>;
  /** What the catalogue sells, in euros, by SKU. */
  readonly prices: Map<string, string>;
  /** Called before each call of a service's method, such as "orders.createOrder"; no faults by default. */
  fault: (method: string) => StepFault | undefined | Promise<StepFault | undefined>;
  /** Keeps a service, checkout by default, from applying events until the returned function is called. */
  pauseSubscriptions(service?: string): Promise<() => Promise<void>>;
  /** A cart with these lines, one "A" by default: a guest's, or this user's. */
  cart(lines?: readonly (readonly [sku: string, quantity: number])[], user?: string): Promise<string>;
  /** Places an order and gives it; throws when it is still under way. */
  place(request: Parameters<Client<typeof CheckoutService>["placeOrder"]>[0], call: Call): Promise<Order>;
  pay(order: Order): Promise<void>;
  /** What there is in all databases, beside tombstones. */
  facts(): Promise<Facts>;
}

export interface Facts {
  readonly orders: Readonly<Record<string, number>>;
  readonly payments: Readonly<Record<string, number>>;
  readonly reservations: Readonly<Record<string, number>>;
  /** Orders that have a reservation or payment without existing, or the other way round. */
  readonly strays: readonly string[];
  readonly charges: number;
}

export const shopper = (
  idempotencyKey?: string,
  options: { readonly id?: string; readonly timeoutMs?: number; readonly verified?: boolean } = {},
): Call => {
  const { id = "usr_test", verified = true, timeoutMs = 10_000 } = options;
  return testCall({ user: { id, verified }, timeoutMs, ...(idempotencyKey !== undefined && { idempotencyKey }) });
};

export async function openTestCheckout(): Promise<TestCheckout> {
  const provider = scriptedProvider();
  const prices = new Map([
    ["A", "19.99"],
    ["B", "5.00"],
  ]);
  const real = [carts, inventory, orders, paymentsWith(provider)];
  const services = [checkout, ...real.map((service) => disturbed(service, (method) => opened.fault(method)))];
  const app = await openTestServices({
    services,
    registry: contracts,
    others: { catalog: [catalogOf(prices)] },
    settings: { inventory: unlimitedHoldings },
  });
  const databaseOf = (name: string) => app.services.get(name)!.database;
  const clients = app.clients;
  const cartsClient = clients.of("carts", CartsService);
  const checkoutClient = clients.of("checkout", CheckoutService);
  const payments = clients.of("payments", PaymentsService);
  const inventoryClient = clients.of("inventory", InventoryService);

  const opened: TestCheckout = {
    ...app,
    provider,
    checkout: checkoutClient,
    carts: cartsClient,
    inventory: inventoryClient,
    orders: clients.of("orders", OrdersService),
    payments,
    prices,
    fault: () => undefined,
    pauseSubscriptions: async (service = "checkout") => {
      const database = databaseOf(service);
      await database.run(sql`create function refuse_progress() returns trigger language plpgsql as
        'begin if new.applied > old.applied then raise exception ''paused'' using errcode = ''57P03''; end if; return new; end'`);
      await database.run(
        sql`create trigger refuse_progress before update on subscriptions for each row execute function refuse_progress()`,
      );
      return async () => void (await database.run(sql`drop trigger refuse_progress on subscriptions`));
    },
    cart: async (lines = [["A", 1]], user) => {
      const call = testCall(user === undefined ? {} : { user: { id: user } });
      const { id } = await cartsClient.createCart({ currency: "EUR", lines: lines.map(([sku, quantity]) => ({ sku, quantity })) }, call);
      return id;
    },
    place: async (request, call) => orderOf(await checkoutClient.placeOrder(request, call)),
    pay: async (order) => {
      const attempt = await payments.createAttempt({ payment: order.payment!.id }, shopper());
      provider.pay(attempt.id);
      await payments.receiveWebhook({ provider: provider.name, ...provider.webhook(attempt.id) }, testCall());
      await app.settle();
    },
    facts: async () => {
      const held = await idsByStatus(databaseOf("inventory"), sql`select order_id as id, status from reservations`);
      const made = await idsByStatus(databaseOf("orders"), sql`select id, status from orders`);
      const paidBy = await idsByStatus(databaseOf("payments"), sql`select order_id as id, status from payments`);
      const strays = [...new Set([...held.keys(), ...made.keys(), ...paidBy.keys()])].filter((id) => {
        const live = [made.get(id), held.get(id), paidBy.get(id)].map((status) =>
          ["PENDING", "PAID", "HELD", "SOLD", "OPEN", "CAPTURED"].includes(status ?? ""),
        );
        return id !== "" && new Set(live).size > 1;
      });
      return { orders: counted(made), payments: counted(paidBy), reservations: counted(held), strays, charges: provider.ledger().charges };
    },
  };
  await inventoryClient.importStock({ stock: [...prices.keys()].map((sku) => ({ sku, onHand: 100_000 })) }, testCall());
  return opened;
}

/** Faults for one method, in turn; afterwards none. */
export const inTurn = (faults: Readonly<Record<string, readonly StepFault[]>>) => {
  const left = new Map(Object.entries(faults).map(([method, list]) => [method, [...list]]));
  return (method: string) => left.get(method)?.shift();
};

export function orderOf({ outcome }: PlaceOrderResponse): Order {
  if (outcome.case !== "order") throw new Error(`the checkout is still under way: ${outcome.value?.id}`);
  return outcome.value;
}

async function idsByStatus(database: Database, query: ReturnType<typeof sql>): Promise<Map<string, string>> {
  const rows = await database.rows<{ id: string; status: string }>(query);
  return new Map(rows.filter(({ status }) => status !== "VOID").map(({ id, status }) => [id, status]));
}

function counted(statuses: ReadonlyMap<string, string>): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const status of statuses.values()) counts[status] = (counts[status] ?? 0) + 1;
  return counts;
}

function catalogOf(prices: ReadonlyMap<string, string>): Route {
  return standIn(CatalogService, {
    priceLines: async ({ skus }) => ({
      variants: skus
        .filter((sku) => prices.has(sku))
        .map((sku) => ({
          sku,
          product: `prd_${sku}`,
          variant: `var_${sku}`,
          title: `Thing ${sku}`,
          price: { currency: "EUR", amount: prices.get(sku)! },
        })),
    }),
  });
}

type AnyHandler = (request: unknown, call: Call) => Promise<unknown>;

/** The service with faults in the way to it. */
function disturbed(definition: ServiceDefinition, fault: TestCheckout["fault"]): ServiceDefinition {
  const around =
    (method: string, handle: AnyHandler): AnyHandler =>
    async (request, call) => {
      const disturbance = await fault(`${definition.name}.${method}`);
      if (disturbance === "unavailable") throw refuse({ reason: "DEPENDENCY_UNAVAILABLE", code: "unavailable" });
      if (disturbance === "refused") throw refuse({ reason: "CART_EMPTY", code: "failed_precondition" });
      const response = await handle(request, call);
      if (disturbance === "lost") throw refuse({ reason: "DEPENDENCY_UNAVAILABLE", code: "unavailable" });
      return response;
    };
  return {
    ...definition,
    load: async () => {
      const { createService } = await definition.load();
      return {
        createService: (context) => {
          const service = createService(context);
          const routes = service.routes.map((route) => {
            const handlers = Object.entries(route.implementation as unknown as Record<string, AnyHandler>); // of whatever contract
            return {
              ...route,
              implementation: Object.fromEntries(
                // One in a keyed form is no step of the saga.
                handlers.map(([name, handle]) => [name, typeof handle === "function" ? around(name, handle) : handle]),
              ),
            } as unknown as Route;
          });
          return { ...service, routes };
        },
      };
    },
  };
}
