import { fromBinary } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { InventoryService } from "@kontor/contracts/gen/kontor/inventory/v1/inventory_pb.js";
import { OrderStateSchema } from "@kontor/contracts/gen/kontor/orders/v1/events_pb.js";
import type { OrderState } from "@kontor/contracts/gen/kontor/orders/v1/events_pb.js";
import { OrdersService } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import type { CreateOrderRequest, Order } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import { PaymentsService } from "@kontor/contracts/gen/kontor/payments/v1/payments_pb.js";
import { moneyTo } from "@kontor/contracts/money.ts";
import { contracts } from "@kontor/contracts/registry.ts";
// The order's neighbours as they are: what is shown here is what the three do together. Tests only.
// oxlint-disable no-restricted-imports
import { inventory } from "@kontor/inventory/src/service.ts";
import { unlimitedHoldings } from "@kontor/inventory/src/test-settings.ts";
import { scriptedProvider } from "@kontor/payments/src/scripted-provider.ts";
import type { ScriptedProvider } from "@kontor/payments/src/scripted-provider.ts";
import { paymentsWith } from "@kontor/payments/src/open-test-payments.ts";
// oxlint-enable no-restricted-imports
import { eventMessages, eventSchemas } from "@kontor/platform/events/event-schemas.ts";
import type { Database } from "@kontor/platform/database/database.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import type { Client } from "@kontor/platform/rpc/rpc.ts";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";
import { openTestServices, testCall } from "@kontor/platform/testing/test-services.ts";
import type { TestServices } from "@kontor/platform/testing/test-services.ts";
import { orders } from "./service.ts";

export const hourMs = 3_600_000;

/** An event of an order as it was recorded. */
export interface OrderEvent {
  /** "paid" of "orders.order.paid". */
  readonly type: string;
  readonly version: number;
  readonly actor: string;
  readonly at: Date;
  readonly order: OrderState;
  readonly hours: number | undefined;
}

/** Orders, payments and inventory on real databases, with a scripted payment provider. */
export interface TestOrders extends TestServices {
  readonly provider: ScriptedProvider;
  /** While it is true, faults are not printed. */
  faultsExpected: boolean;
  readonly orders: Client<typeof OrdersService>;
  readonly payments: Client<typeof PaymentsService>;
  readonly inventory: Client<typeof InventoryService>;
  /** What checkout does: reserves, makes the order, opens its payment. One unit of "A" for 19.99 EUR unless said otherwise. */
  place(
    change?: Partial<Pick<CreateOrderRequest, "customer" | "cart">> & {
      readonly lines?: readonly (readonly [sku: string, quantity: number])[];
    },
  ): Promise<Order>;
  /** A request of createOrder, with ids of its own. */
  request(lines?: readonly (readonly [sku: string, quantity: number])[]): CreateOrderRequest;
  /** Opens an attempt for the order; gives its id. */
  attempt(order: Order): Promise<string>;
  /** Opens an attempt and pays at the provider, which sends no webhook. Gives the attempt's id. */
  payAtProvider(order: Order): Promise<string>;
  /** Pays, with the webhook, and waits until its events are applied. */
  pay(order: Order): Promise<void>;
  webhook(attempt: string): Promise<unknown>;
  read(order: string): Promise<Order>;
  events(order: string): Promise<OrderEvent[]>;
  /** The order's row as it is stored. */
  stored(order: string): Promise<{ readonly version: number; readonly status: string; readonly state: OrderState }>;
  /** How many units of "A" can be bought. */
  available(): Promise<number>;
  /** Keeps orders from applying events until the returned function is called. */
  pauseSubscriptions(): Promise<() => Promise<void>>;
  /** How many events orders could not apply. */
  parked(): Promise<number>;
}

export const customer = (id = "usr_test", options: { readonly idempotencyKey?: string; readonly timeoutMs?: number } = {}): Call =>
  testCall({ user: { id }, ...options });
export const staff = (role = "admin"): Call => testCall({ user: { id: `usr_${role}`, roles: [role] } });

const schemas = eventSchemas(eventMessages(contracts));
const stock = 1_000_000;

/** Makes a table refuse new rows, as a full disk would; gives what ends that. */
export async function refuseRows(database: Database, table: "orders" | "events" | "tasks"): Promise<() => Promise<void>> {
  await database.run(
    sql`create or replace function refuse_row() returns trigger language plpgsql as 'begin raise exception using message = tg_table_name; end'`,
  );
  await database.run(sql`create trigger refuse_row before insert on ${sql.name(table)} for each row execute function refuse_row()`);
  return async () => void (await database.run(sql`drop trigger refuse_row on ${sql.name(table)}`));
}

export async function openTestOrders(): Promise<TestOrders> {
  const provider = scriptedProvider();
  const services = [orders, paymentsWith(provider), inventory];
  const log: Logger = {
    debug: () => undefined,
    info: () => undefined,
    warn: () => undefined,
    error: (fields, message) => {
      if (!opened.faultsExpected) console.error(message, fields);
    },
    child: () => log,
  };
  const app = await openTestServices({ services, registry: contracts, log, settings: { inventory: unlimitedHoldings } });
  const client = app.clients.of("orders", OrdersService);
  const payments = app.clients.of("payments", PaymentsService);
  const inventoryClient = app.clients.of("inventory", InventoryService);
  const { database } = app.services.get("orders")!;
  await inventoryClient.importStock({ stock: [{ sku: "A", onHand: stock }] }, testCall());
  let made = 0;

  const request: TestOrders["request"] = (lines = [["A", 1]]) => {
    const nth = String(++made).padStart(6, "0");
    return {
      $typeName: "kontor.orders.v1.CreateOrderRequest",
      order: `ord_${nth}`,
      customer: "usr_test",
      lines: lines.map(([sku, quantity]) => ({
        $typeName: "kontor.orders.v1.OrderLine",
        sku,
        product: `prd_${sku}`,
        title: `Thing ${sku}`,
        quantity,
        unitPrice: { $typeName: "kontor.api.v1.Money", currency: "EUR", amount: "19.99" },
        total: { $typeName: "kontor.api.v1.Money", ...moneyTo({ currency: "EUR", minor: 1999n * BigInt(quantity) }) },
      })),
      payment: `pay_${nth}`,
      paymentSecret: `pp_${nth}`,
      cart: "",
      cartVersion: 0,
    };
  };
  const attempt: TestOrders["attempt"] = async ({ payment, customer: id }) =>
    (await payments.createAttempt({ payment: payment!.id }, customer(id))).id;
  const payAtProvider: TestOrders["payAtProvider"] = async (order) => {
    const id = await attempt(order);
    provider.pay(id);
    return id;
  };
  const webhook = (id: string) => payments.receiveWebhook({ provider: provider.name, ...provider.webhook(id) }, testCall());
  const opened: TestOrders = {
    ...app,
    provider,
    faultsExpected: false,
    orders: client,
    payments,
    inventory: inventoryClient,
    request,
    place: async ({ lines, ...change } = {}) => {
      const requested = { ...request(lines), ...change };
      const call = testCall({ user: { id: requested.customer }, caller: "checkout" });
      const expiresAt = timestampFromDate(new Date(app.clock.now().getTime() + 25 * hourMs));
      await inventoryClient.reserve(
        { order: requested.order, lines: requested.lines.map(({ sku, quantity }) => ({ sku, quantity })), expiresAt },
        call,
      );
      const order = await client.createOrder(requested, call);
      const { payment, customer: id, paymentSecret: secret } = requested;
      await payments.openPayment({ payment, order: order.id, customer: id, secret, amount: order.total! }, call);
      return order;
    },
    attempt,
    payAtProvider,
    pay: async (order) => {
      await webhook(await payAtProvider(order));
      await app.settle();
    },
    webhook,
    read: (order) => client.getOrder({ order }, staff()),
    events: async (order) => {
      const rows = await database.rows<{ type: string; version: number; actor: string; at: Date; data: Uint8Array }>(
        sql`select type, version, actor, at, data from events where stream = ${order} order by version`,
      );
      return rows.map(({ type, version, actor, at, data }) => {
        const event = schemas.decode(type, data) as unknown as { readonly order: OrderState; readonly hours?: number };
        return { type: type.replace("orders.order.", ""), version, actor, at, order: event.order, hours: event.hours };
      });
    },
    stored: async (order) => {
      const row = await database.one<{ version: number; status: string; state: Uint8Array }>(
        sql`select version, status, state from orders where id = ${order}`,
      );
      return { ...row, state: fromBinary(OrderStateSchema, row.state) };
    },
    available: async () => (await inventoryClient.listStock({ sku: ["A"] }, staff())).items[0]!.available,
    pauseSubscriptions: async () => {
      await database.run(sql`create or replace function refuse_progress() returns trigger language plpgsql as
        'begin if new.applied > old.applied then raise exception ''paused'' using errcode = ''57P03''; end if; return new; end'`);
      await database.run(
        sql`create trigger refuse_progress before update on subscriptions for each row execute function refuse_progress()`,
      );
      return async () => void (await database.run(sql`drop trigger refuse_progress on subscriptions`));
    },
    parked: async () => (await database.one<{ count: number }>(sql`select count(*)::int as count from parked_events`)).count,
  };
  return opened;
}
