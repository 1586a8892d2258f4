import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { CatalogService, ProductStatus } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import { CheckoutService } from "@kontor/contracts/gen/kontor/checkout/v1/checkout_pb.js";
import { IdentityService } from "@kontor/contracts/gen/kontor/identity/v1/identity_pb.js";
import { InventoryService } from "@kontor/contracts/gen/kontor/inventory/v1/inventory_pb.js";
import { OrdersService } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import type { Order } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import { PaymentsService } from "@kontor/contracts/gen/kontor/payments/v1/payments_pb.js";
import { contracts } from "@kontor/contracts/registry.ts";
import { providerConnection } from "@kontor/payments/src/provider-connection.ts";
import { createProviderServer, providerMigrations, testCards } from "@kontor/payments/provider/src/provider-server.ts";
import { ManualClock } from "@kontor/platform/clock/clock.ts";
import type { PostgresDatabase } from "@kontor/platform/database/postgres.ts";
import { openTestCatcher, openTestMailer, silent } from "@kontor/platform/mail/open-test-catcher.ts";
import type { User } from "@kontor/platform/call/call.ts";
import { afterTests, openTestDatabase } from "@kontor/platform/testing/postgres.ts";
import { openTestServices, testCall } from "@kontor/platform/testing/test-services.ts";
import type { TestServices, TestServicesOptions } from "@kontor/platform/testing/test-services.ts";
import { definitions } from "../roles.ts";

export type CardName = "approve" | "decline" | "no-webhook";

/** All services without the gateway, on test databases, with the built-in provider and the mailbox. */
export interface TestShop {
  readonly app: TestServices;
  /** As `verify` takes them. */
  readonly databases: ReadonlyMap<string, PostgresDatabase>;
  database(name: string): PostgresDatabase;
  place(lines: readonly { readonly sku: string; readonly quantity: number }[]): Promise<Order>;
  /** Opens an attempt, enters the card on the provider's page and comes back. */
  pay(order: Order, card?: CardName): Promise<void>;
  cancel(order: Order): Promise<void>;
  fulfil(order: Order): Promise<void>;
  refund(order: Order, amount?: string): Promise<void>;
  /** Frees an order's units behind its back. */
  release(order: Order): Promise<void>;
  settle(): Promise<void>;
  pass(hours: number): Promise<void>;
}

/** Opens a shop that sells these units of each SKU, with something around its databases if that is passed; stopped after the suite that asked. */
export async function openTestShop(
  stock: Readonly<Record<string, number>>,
  options: Pick<TestServicesOptions, "around"> = {},
): Promise<TestShop> {
  const clock = new ManualClock(new Date("2026-03-02T09:00:00Z"));
  const catcher = await openTestCatcher();
  const opened = await openTestDatabase({ name: "provider", migrations: [providerMigrations] });
  const books = options.around?.("provider", opened) ?? opened;
  const masterKey = randomBytes(32);
  const { apiKey, webhookSecret } = providerConnection({ providerUrl: undefined, providerPort: 0 }, { host: "localhost", masterKey });
  const provider = createProviderServer({
    database: books,
    log: silent,
    host: "127.0.0.1",
    port: 0,
    webhookUrl: "http://127.0.0.1:9/",
    clock,
    apiKey,
    webhookSecret,
  });
  const { url: providerUrl } = await provider.start();
  afterTests(() => provider.stop());
  const app = await openTestServices({
    services: definitions,
    registry: contracts,
    clock,
    mail: openTestMailer({ url: catcher.smtpUrl, clock }),
    config: { masterKey },
    settings: { payments: { providerUrl, providerPort: 0 } },
    ...options,
  });
  const databases = new Map(Array.from(app.services, ([name, { database }]) => [name, database] as const));
  databases.set("mailbox", catcher.database).set("provider", books);

  const of = app.clients.of.bind(app.clients);
  const { id } = await of("identity", IdentityService).createAccount(
    { email: "ada@shop.test", password: "correct horse", name: "Ada" },
    testCall(),
  );
  const customer = (key?: string) => testCall({ user: { id }, ...(key !== undefined && { idempotencyKey: key }) });
  const admin: Partial<User> = { id: "usr_admin", roles: ["admin"] };
  let keys = 0;
  const key = () => `key-${++keys}`;
  const variants = (sku: string) => [{ sku, price: { currency: "EUR", amount: "19.99" } }];
  const products = Object.keys(stock).map((sku) => ({
    product: { title: `Thing ${sku}`, status: ProductStatus.PUBLISHED, variants: variants(sku) },
  }));
  await of("catalog", CatalogService).importProducts({ products }, testCall());
  await of("inventory", InventoryService).importStock(
    { stock: Object.entries(stock).map(([sku, onHand]) => ({ sku, onHand })) },
    testCall(),
  );

  const settle = async () => {
    await app.settle();
    await provider.idle();
    await app.settle();
  };
  return {
    app,
    databases,
    database: (name) => databases.get(name)!,
    async place(lines) {
      const { outcome } = await of("checkout", CheckoutService).placeOrder({ lines: [...lines], currency: "EUR" }, customer(key()));
      assert.equal(outcome.case, "order");
      return outcome.value;
    },
    async pay({ payment }, card = "no-webhook") {
      const attempt = await of("payments", PaymentsService).createAttempt({ payment: payment!.id }, customer());
      const { number } = testCards.find(({ name }) => name === card)!;
      const response = await fetch(attempt.url!, { method: "POST", redirect: "manual", body: new URLSearchParams({ number }) });
      await response.arrayBuffer();
      await of("payments", PaymentsService).completePayment({ payment: payment!.id }, customer());
    },
    cancel: async ({ id: order }) => void (await of("orders", OrdersService).cancelOrder({ order }, customer(key()))),
    fulfil: async ({ id: order }) =>
      void (await of("orders", OrdersService).createFulfilment({ order }, testCall({ user: admin, idempotencyKey: key() }))),
    refund: async ({ payment }, amount) =>
      void (await of("payments", PaymentsService).createRefund(
        { payment: payment!.id, ...(amount !== undefined && { amount: { currency: "EUR", amount } }) },
        testCall({ user: admin, idempotencyKey: key() }),
      )),
    release: async ({ id: order }) => void (await of("inventory", InventoryService).release({ order }, testCall())),
    settle,
    pass: async (hours) => {
      clock.advance(hours * 3_600_000);
      await settle();
    },
  };
}
