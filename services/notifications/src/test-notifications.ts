import { create } from "@bufbuild/protobuf";
import type { Message } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import {
  PasswordResetRequestedSchema,
  RegistrationMailRequestedSchema,
  VerificationRequestedSchema,
} from "@kontor/contracts/gen/kontor/identity/v1/events_pb.js";
import { IdentityService } from "@kontor/contracts/gen/kontor/identity/v1/identity_pb.js";
import { NotificationsService } from "@kontor/contracts/gen/kontor/notifications/v1/notifications_pb.js";
import {
  OrderCancelledSchema,
  OrderFulfilledSchema,
  OrderPaidSchema,
  OrderReminderDueSchema,
} from "@kontor/contracts/gen/kontor/orders/v1/events_pb.js";
import { OrderSchema, OrdersService, OrderStatus } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import type { Order } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import { PaymentRefundedSchema } from "@kontor/contracts/gen/kontor/payments/v1/events_pb.js";
import { contracts } from "@kontor/contracts/registry.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import type { Mail } from "@kontor/platform/mail/mail.ts";
import { standIn } from "@kontor/platform/testing/stand-in.ts";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";
import { fakeService } from "@kontor/platform/testing/fake-service.ts";
import { openTestServices, testCall } from "@kontor/platform/testing/test-services.ts";
import { notifications } from "./service.ts";

interface Account {
  readonly email: string;
  readonly name: string;
}

/** The notifications service among others that are maps with event logs. `mail.failing` makes the mail server fail; `log` gets the errors. */
export async function openNotifications(options: { readonly log?: Logger } = {}) {
  const accounts = new Map<string, Account>();
  const verifications = new Map<string, { readonly account: string; readonly code?: string; readonly resetToken?: string }>();
  const resets = new Map<string, string>();
  const orders = new Map<string, Order>();
  const mails: Mail[] = [];
  const mail = { failing: undefined as Error | undefined };
  const contactOf = (account: string) => ({ account, ...found(accounts.get(account)) });
  const identity = standIn(IdentityService, {
    getContact: async ({ account }) => contactOf(account),
    getVerificationMail: async ({ verification }) => {
      const { account, ...secret } = found(verifications.get(verification));
      return { contact: contactOf(account), ...secret, expiresAt: timestampFromDate(app.clock.now()) };
    },
    getPasswordResetMail: async ({ reset }) => ({
      contact: contactOf(found(resets.get(reset))),
      token: `token-of-${reset}`,
      expiresAt: timestampFromDate(app.clock.now()),
    }),
  });
  const describe = standIn(OrdersService, { describeOrder: async ({ order }) => found(orders.get(order)) });
  const app = await openTestServices({
    ...options,
    services: [
      notifications,
      fakeService("identity", () => ({ routes: [identity] })),
      fakeService("orders", () => ({ routes: [describe] })),
      fakeService("payments", () => ({ routes: [] })),
    ],
    registry: contracts,
    settings: { notifications: { mailFrom: "shop@shop.test" } },
    mail: {
      send: async (sent) => {
        if (mail.failing !== undefined) throw mail.failing;
        mails.push(sent);
      },
    },
  });
  const hosted = app.services.get("notifications")!;
  const versions = new Map<string, number>();
  let nth = 0;

  /** Events of one service, each the next of its stream, in one transaction. */
  const happen = async (service: string, ...events: readonly { readonly stream: string; readonly event: Message }[]): Promise<void> => {
    const { database, log } = app.services.get(service)!;
    const streams = events.map(({ stream, event }) => {
      const version = versions.get(stream) ?? 0;
      versions.set(stream, version + 1);
      return { stream, expectedVersion: version, events: [event] };
    });
    await database.transaction((tx) => log.append(tx, testCall(), streams));
  };
  const stateOf = ({ id: order, customer }: Order) => ({ order, customer });
  return {
    ...app,
    hosted,
    mails,
    mail,
    orders,
    /** Somebody with an address and a name that are used nowhere else. */
    customer: (): { readonly id: string } & Account => {
      const id = `usr_${++nth}`;
      const account = { email: `canary-${nth}@shop.example`, name: `Canary${nth} O'Neil` };
      accounts.set(id, account);
      return { id, ...account };
    },
    order: (customer: string): Order => {
      const id = `ord_${++nth}`;
      const eur = { currency: "EUR", amount: "19.99" };
      const order = create(OrderSchema, {
        id,
        customer,
        status: OrderStatus.PENDING,
        lines: [{ sku: "s", title: `Secret title ${nth}`, quantity: 1, unitPrice: eur, total: eur }],
        total: eur,
        payment: { id: `pay_${nth}`, url: `https://shop.example/pay/${nth}` },
        history: [{ status: OrderStatus.PENDING }],
        expiresAt: timestampFromDate(new Date(app.clock.now().getTime() + 24 * 3_600_000)),
      });
      orders.set(id, order);
      return order;
    },
    register: async (account: string): Promise<void> => {
      const verification = `vrf_${++nth}`;
      verifications.set(verification, { account, code: `CODE${nth}-ABCDE` });
      await happen("identity", { stream: account, event: create(RegistrationMailRequestedSchema, { account, verification }) });
    },
    /** The same in a process of the version before. */
    registerBefore: async (account: string): Promise<void> => {
      const verification = `vrf_${++nth}`;
      verifications.set(verification, { account, code: `CODE${nth}-ABCDE` });
      await happen("identity", { stream: account, event: create(VerificationRequestedSchema, { account, verification }) });
    },
    /** Somebody registers with the address of this account, or with one whose mail is over when none is passed. */
    registerTaken: async (owner?: string): Promise<void> => {
      const verification = `vrf_${++nth}`;
      const account = `usr_${++nth}`;
      if (owner !== undefined) verifications.set(verification, { account: owner, resetToken: `token-of-${verification}` });
      await happen("identity", { stream: account, event: create(RegistrationMailRequestedSchema, { account, verification }) });
    },
    /** Somebody asks for a link for the address of this account, or for one that has none. */
    resetPassword: async (account?: string): Promise<void> => {
      const reset = `rst_${++nth}`;
      if (account !== undefined) resets.set(reset, account);
      await happen("identity", { stream: reset, event: create(PasswordResetRequestedSchema, { reset }) });
    },
    happen,
    paid: (...paid: readonly Order[]) =>
      happen("orders", ...paid.map((order) => ({ stream: order.id, event: create(OrderPaidSchema, { order: stateOf(order) }) }))),
    reminded: (order: Order, hours: number) =>
      happen("orders", { stream: order.id, event: create(OrderReminderDueSchema, { order: stateOf(order), hours }) }),
    cancelled: (order: Order) => happen("orders", { stream: order.id, event: create(OrderCancelledSchema, { order: stateOf(order) }) }),
    fulfilled: (order: Order) => happen("orders", { stream: order.id, event: create(OrderFulfilledSchema, { order: stateOf(order) }) }),
    refunded: ({ id: order, customer }: Order, amount: string) =>
      happen("payments", {
        stream: `pay_of_${order}`,
        event: create(PaymentRefundedSchema, { payment: { order, customer }, refund: { amount: { currency: "EUR", amount } } }),
      }),
    list: (user: string, request: { readonly limit?: number; readonly cursor?: string } = {}) =>
      app.rpc
        .clientsFor("gateway")
        .of("notifications", NotificationsService)
        .listNotifications(request, testCall({ caller: "gateway", user: { id: user } })),
    rows: () =>
      hosted.database.rows<{ id: string; account: string; kind: string; subject: string; task: string | null; sent: Date | null }>(
        sql`select id, account, kind, subject, task, sent_at as sent from notifications order by id`,
      ),
    /** Everything that the database holds, as text. */
    dump: async (): Promise<string> => {
      const tables = await hosted.database.rows<{ name: string }>(
        sql`select table_name as name from information_schema.tables where table_schema = 'public'`,
      );
      const texts: string[] = [];
      for (const { name } of tables)
        for (const row of await hosted.database.rows(sql`select * from ${sql.name(name)}`))
          for (const value of Object.values(row))
            texts.push(
              Buffer.isBuffer(value) ? value.toString("latin1") : typeof value === "bigint" ? String(value) : JSON.stringify(value),
            );
      return texts.join("\n");
    },
  };
}

function found<T>(thing: T | undefined): T {
  if (thing === undefined) throw refuse({ reason: "NOT_FOUND", code: "not_found" });
  return thing;
}
