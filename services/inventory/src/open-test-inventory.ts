import assert from "node:assert/strict";
import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { InventoryService } from "@kontor/contracts/gen/kontor/inventory/v1/inventory_pb.js";
import type { Reservation } from "@kontor/contracts/gen/kontor/inventory/v1/inventory_pb.js";
import { OrderCancelledSchema, OrderPaidSchema } from "@kontor/contracts/gen/kontor/orders/v1/events_pb.js";
import { contracts } from "@kontor/contracts/registry.ts";
import type { Clock } from "@kontor/platform/clock/clock.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import { refusalIn } from "@kontor/platform/errors/refusal.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import type { Client } from "@kontor/platform/rpc/rpc.ts";
import type { HostedService } from "@kontor/platform/service/host-service.ts";
import type { ServiceContext } from "@kontor/platform/service/service.ts";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";
import { fakeService } from "@kontor/platform/testing/fake-service.ts";
import { openTestServices, testCall } from "@kontor/platform/testing/test-services.ts";
import type { TestServices } from "@kontor/platform/testing/test-services.ts";
import { checkLedger } from "./test-ledger.ts";
import { inventory } from "./service.ts";
import type { Units } from "./stock.ts";

export type InventoryClient = Client<typeof InventoryService>;

/** How a request to reserve ended: with its reservation, or with the refusal as its caller sees it. */
export type Outcome = { readonly held: Reservation } | { readonly refused: string; readonly details: unknown };

/** Inventory on a real database, with an event log of orders that a test writes. */
export interface TestInventory extends TestServices {
  readonly client: InventoryClient;
  readonly hosted: HostedService;
  /** Imports these units of SKUs. */
  deliver(stock: Readonly<Record<string, number>>): Promise<void>;
  /** Sets units aside for 25 hours. */
  reserve(order: string, lines: readonly Units[]): Promise<Outcome>;
  /** Units in the warehouse, and those of them that are set aside. */
  units(sku: string): Promise<readonly [onHand: number, reserved: number]>;
  /** Writes what happened to orders, each in its own stream; nothing is applied yet. */
  publish(happened: readonly OrderNews[]): Promise<void>;
  /** The orders whose claims were refused. */
  refusedClaims(): Promise<string[]>;
  /** Asserts that the ledger is right (see `checkLedger`) and no event is parked. */
  check(): Promise<void>;
}

export interface OrderNews {
  readonly order: string;
  readonly lines: readonly Units[];
  readonly news: readonly ("paid" | "cancelled")[];
}

export const admin: () => Call = () => testCall({ user: { id: "usr_admin", roles: ["admin"] } });

export function one(sku: string, quantity = 1): Units {
  return { sku, quantity };
}

export async function openTestInventory(options: { readonly log?: Logger } = {}): Promise<TestInventory> {
  let orders: ServiceContext | undefined;
  const fakeOrders = fakeService("orders", (context) => {
    orders = context;
    return { routes: [] };
  });
  const app = await openTestServices({ services: [fakeOrders, inventory], registry: contracts, ...options });
  const client = app.clients.of("inventory", InventoryService);
  const hosted = app.services.get("inventory")!;
  const versions = new Map<string, number>();
  return {
    ...app,
    client,
    hosted,
    deliver: (stock) => deliver(client, stock),
    reserve: (order, lines) => reserve(client, app.clock, order, lines),
    units: async (sku) => {
      const { items } = await client.listStock({ sku: [sku] }, admin());
      return [items[0]?.onHand ?? 0, items[0]?.reserved ?? 0];
    },
    publish: async (happened) => {
      const { database, events } = orders!;
      const streams = happened.map(({ order, lines, news }) => {
        const expectedVersion = versions.get(order) ?? 0;
        versions.set(order, expectedVersion + news.length);
        const state = { order, lines: lines.map(({ sku, quantity }) => ({ sku, quantity })) };
        return {
          stream: order,
          expectedVersion,
          events: news.map((what) => create(what === "paid" ? OrderPaidSchema : OrderCancelledSchema, { order: state })),
        };
      });
      await database.transaction((tx) => events.append(tx, testCall({ caller: "orders" }), streams));
    },
    refusedClaims: async () => {
      const rows = await hosted.database.rows<{ stream: string }>(
        sql`select stream from events where type = 'inventory.claim.refused' order by stream`,
      );
      return rows.map(({ stream }) => stream);
    },
    check: async () => {
      await checkLedger(hosted);
      const [subscription] = await hosted.subscriptions.status();
      assert.equal(subscription?.parked, 0, "no event is parked");
    },
  };
}

export async function deliver(client: InventoryClient, stock: Readonly<Record<string, number>>): Promise<void> {
  await client.importStock({ stock: Object.entries(stock).map(([sku, onHand]) => ({ sku, onHand })) }, testCall());
}

export async function reserve(client: InventoryClient, clock: Clock, order: string, lines: readonly Units[]): Promise<Outcome> {
  const expiresAt = timestampFromDate(new Date(clock.now().getTime() + 25 * 3_600_000));
  try {
    return { held: await client.reserve({ order, lines: lines.map(({ sku, quantity }) => ({ sku, quantity })), expiresAt }, testCall()) };
  } catch (error) {
    const refusal = refusalIn(error);
    // Anything else is not decided by the rules.
    if (refusal?.code !== "failed_precondition") throw error;
    return { refused: refusal.reason, details: refusal.details };
  }
}
