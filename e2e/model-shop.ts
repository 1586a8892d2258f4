import { randomBytes } from "node:crypto";
import { carts } from "@kontor/carts/src/service.ts";
import { checkout } from "@kontor/checkout/src/service.ts";
import { CartsService } from "@kontor/contracts/gen/kontor/carts/v1/carts_pb.js";
import { CatalogService } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import { CheckoutService } from "@kontor/contracts/gen/kontor/checkout/v1/checkout_pb.js";
import { InventoryService } from "@kontor/contracts/gen/kontor/inventory/v1/inventory_pb.js";
import { OrdersService } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import { PaymentsService } from "@kontor/contracts/gen/kontor/payments/v1/payments_pb.js";
import { contracts } from "@kontor/contracts/registry.ts";
import { inventory } from "@kontor/inventory/src/service.ts";
import { orders } from "@kontor/orders/src/service.ts";
import { paymentsWith } from "@kontor/payments/src/open-test-payments.ts";
import { scriptedProvider } from "@kontor/payments/src/scripted-provider.ts";
import type { ScriptedProvider } from "@kontor/payments/src/scripted-provider.ts";
import { createMemoryCache } from "@kontor/platform/cache/memory.ts";
import { ManualClock } from "@kontor/platform/clock/clock.ts";
import type { PostgresDatabase } from "@kontor/platform/database/postgres.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import { createWakeups } from "@kontor/platform/events/wakeups.ts";
import { createIds } from "@kontor/platform/ids/ids.ts";
import type { Client, Rpc } from "@kontor/platform/rpc/rpc.ts";
import { hostService, platformMigrations } from "@kontor/platform/service/host-service.ts";
import type { HostedService } from "@kontor/platform/service/host-service.ts";
import type { ServiceDefinition } from "@kontor/platform/service/service.ts";
import { silent } from "@kontor/platform/mail/open-test-catcher.ts";
import { openTestDatabase } from "@kontor/platform/testing/postgres.ts";
import { standIn } from "@kontor/platform/testing/stand-in.ts";
import { openDeliveries } from "./deliveries.ts";
import type { Deliveries } from "./deliveries.ts";
import { openInterruptedRpc } from "./interrupted-rpc.ts";
import type { HeldCall, Interruptions } from "./interrupted-rpc.ts";

/** The services that run here, as they are. */
export type ServiceName = "carts" | "checkout" | "inventory" | "orders" | "payments";

/** A shop in this process in which a test decides when calls, deliveries and time go on. The catalogue and the payment provider are scripted. */
export interface ModelShop {
  readonly clock: ManualClock;
  readonly provider: ScriptedProvider;
  readonly calls: Interruptions;
  readonly deliveries: Deliveries;
  readonly databases: ReadonlyMap<string, PostgresDatabase>;
  readonly carts: Client<typeof CartsService>;
  readonly checkout: Client<typeof CheckoutService>;
  readonly inventory: Client<typeof InventoryService>;
  readonly orders: Client<typeof OrdersService>;
  readonly payments: Client<typeof PaymentsService>;
  /** Stops a service and starts it again: calls under way with it are cut. A crash of checkout leaves its sagas, which stand still, to the one that starts. */
  restart(service: ServiceName, how: "stop" | "crash"): Promise<void>;
  /** Resolves when all that can go on has gone on: not what waits for a held call or a late delivery. */
  settle(): Promise<void>;
  close(): Promise<void>;
}

/** Opens a shop with its own databases. Each unit of whatever SKU costs 7.00 EUR. */
export async function openModelShop(): Promise<ModelShop> {
  const clock = new ManualClock(new Date("2026-03-02T09:00:00Z"));
  const provider = scriptedProvider();
  const { rpc, calls } = openInterruptedRpc(silent);
  const deliveries = openDeliveries();
  rpc.serve("catalog", [catalogue()]);
  const definitions = [carts, checkout, inventory, orders, paymentsWith(provider)].map((each) => deliveries.of(each));
  const databases = new Map<string, PostgresDatabase>();
  for (const { name, migrations } of definitions) {
    const own = migrations === undefined ? [] : [{ scope: name, folder: migrations }];
    databases.set(name, await openTestDatabase({ name, migrations: [...platformMigrations, ...own], log: silent }));
  }
  const services = await openServices({ definitions, databases, rpc, calls, clock, deliveries });
  const clients = rpc.clientsFor("test");
  let settled = "";
  return {
    clock,
    provider,
    calls,
    deliveries,
    databases,
    carts: clients.of("carts", CartsService),
    checkout: clients.of("checkout", CheckoutService),
    inventory: clients.of("inventory", InventoryService),
    orders: clients.of("orders", OrdersService),
    payments: clients.of("payments", PaymentsService),
    restart: services.restart,
    settle: async () => {
      settled = await settle([...services.hosted.values()], { calls, deliveries, settled });
    },
    close: async () => {
      await services.stop();
      await rpc.stop();
      await Promise.all([...databases.values()].map((database) => database.stop()));
    },
  };
}

interface Needs {
  readonly definitions: readonly ServiceDefinition[];
  readonly databases: ReadonlyMap<string, PostgresDatabase>;
  readonly rpc: Rpc;
  readonly calls: Interruptions;
  readonly clock: ManualClock;
  readonly deliveries: Deliveries;
}

/** Runs the services, each until it is restarted. */
async function openServices({ definitions, databases, rpc, calls, clock, deliveries }: Needs) {
  const shared = {
    rpc,
    clock,
    log: silent,
    registry: contracts,
    config: { publicUrl: "http://shop.test", shopName: "Test Shop", host: "localhost", masterKey: randomBytes(32) },
    wakeups: createWakeups({ log: silent }),
    cache: createMemoryCache({ maxEntries: 10_000 }),
    ids: createIds(clock),
    mail: { send: async () => undefined },
    engines: deliveries.engines,
  };
  const hosted = new Map<string, HostedService>();
  const crashed: HostedService[] = [];
  const host = async (definition: ServiceDefinition): Promise<void> => {
    const service = await hostService(definition, { ...shared, database: databases.get(definition.name)!, settings: undefined });
    hosted.set(definition.name, service);
    await service.log.start();
    await service.service.start?.();
  };
  const begin = async ({ name }: ServiceDefinition): Promise<void> => {
    const { subscriptions, tasks } = hosted.get(name)!;
    await subscriptions.start();
    await tasks.start();
  };
  for (const definition of definitions) await host(definition);
  for (const definition of definitions) await begin(definition);

  const restart: ModelShop["restart"] = async (name, how) => {
    const { service, log, subscriptions, tasks, database } = hosted.get(name)!;
    const leavesSagas = how === "crash" && name === "checkout";
    const concerns = ({ caller, method }: HeldCall): boolean => caller === name || method.startsWith(`${name}.`);
    if (!leavesSagas) for (const call of calls.held.filter(concerns)) call.cut();
    await subscriptions.stop();
    await tasks.stop();
    if (leavesSagas) crashed.push(hosted.get(name)!);
    else await service.stop?.();
    await log.stop();
    // What has crashed renews no lease: its sagas are there for whoever comes.
    if (leavesSagas) await database.run(sql`update sagas set lease_until = clock_timestamp() where status in ('RUNNING', 'UNDOING')`);
    const definition = definitions.find((each) => each.name === name)!;
    await host(definition);
    await begin(definition);
  };
  const stop = async (): Promise<void> => {
    calls.clear();
    for (const call of calls.held.slice()) call.cut();
    const all = [...hosted.values()];
    await Promise.all(all.flatMap(({ tasks, subscriptions }) => [tasks.stop(), subscriptions.stop()]));
    await Promise.all([...crashed, ...all].map(async ({ service }) => service.stop?.()));
    await Promise.all(all.map(({ log }) => log.stop()));
  };
  return { hosted, restart, stop };
}

interface Settling {
  readonly calls: Interruptions;
  readonly deliveries: Deliveries;
  /** What this returned the last time. */
  readonly settled: string;
}

/** Goes round until a round changes nothing. Gives a text that changes whenever something has happened. */
async function settle(hosted: readonly HostedService[], { calls, deliveries, settled }: Settling): Promise<string> {
  for (let before = settled; ;) {
    const free = hosted.filter(({ name }) => !calls.held.some(({ caller }) => caller === name));
    await Promise.all(free.map(async ({ service }) => service.idle?.()));
    await Promise.all(hosted.filter(({ name }) => !deliveries.isLate(name)).map(({ subscriptions }) => subscriptions.caughtUp()));
    await Promise.all(free.map(({ tasks }) => tasks.idle()));
    const after = (await Promise.all(hosted.map((service) => service.progress()))).join();
    if (after === before) return after;
    before = after;
  }
}

function catalogue(): Parameters<Rpc["serve"]>[1][number] {
  return standIn(CatalogService, {
    priceLines: async ({ skus }) => ({
      variants: skus.map((sku) => ({
        sku,
        product: `prd_${sku}`,
        variant: `var_${sku}`,
        title: `Thing ${sku}`,
        price: { currency: "EUR", amount: "7.00" },
      })),
    }),
  });
}
