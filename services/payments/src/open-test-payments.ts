import type { Payment } from "@kontor/contracts/gen/kontor/payments/v1/payments_pb.js";
import { PaymentsService } from "@kontor/contracts/gen/kontor/payments/v1/payments_pb.js";
import { contracts } from "@kontor/contracts/registry.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import type { Client } from "@kontor/platform/rpc/rpc.ts";
import type { ServiceDefinition } from "@kontor/platform/service/service.ts";
import { openTestServices, testCall } from "@kontor/platform/testing/test-services.ts";
import type { TestServices } from "@kontor/platform/testing/test-services.ts";
import { scriptedProvider } from "./scripted-provider.ts";
import type { ScriptedProvider } from "./scripted-provider.ts";
import { createPayments } from "./create-service.ts";
import type { Provider } from "./provider.ts";
import { payments } from "./service.ts";

/** Payments alone, on a real database, with a scripted payment provider. */
export interface TestPayments extends TestServices {
  readonly provider: ScriptedProvider;
  readonly client: Client<typeof PaymentsService>;
  /** Opens a payment of 19.99 EUR, or of another amount, for the test's user. */
  open(amount?: string): Promise<Payment>;
  /** Opens a payment and an attempt; gives their ids. */
  attempted(amount?: string): Promise<{ readonly payment: string; readonly attempt: string }>;
  /** The payment as it is now. */
  read(payment: string): Promise<Payment>;
  /** The types of a payment's events, in order: "payment.captured". */
  events(payment: string): Promise<string[]>;
  /** The provider's webhook about an attempt as it is now. */
  webhook(attempt: string): Promise<unknown>;
}

export const admin = testCall.bind(undefined, { user: { id: "usr_admin", roles: ["admin"] } });

/** The payments service with another provider than the built-in one. */
export function paymentsWith(provider: Provider): ServiceDefinition {
  return { ...payments, load: async () => ({ createService: (context) => createPayments(context, provider) }) };
}

export async function openTestPayments(): Promise<TestPayments> {
  const provider = scriptedProvider();
  const app = await openTestServices({ services: [paymentsWith(provider)], registry: contracts });
  const client = app.clients.of("payments", PaymentsService);
  const { database } = app.services.get("payments")!;
  let made = 0;

  const open = (amount = "19.99") => {
    const nth = ++made;
    const [payment, order, secret] = [`pay_${nth}`, `ord_${nth}`, `pp_${nth}`];
    return client.openPayment({ payment, order, customer: "usr_test", secret, amount: { currency: "EUR", amount } }, testCall());
  };
  return {
    ...app,
    provider,
    client,
    open,
    attempted: async (amount) => {
      const { id } = await open(amount);
      const attempt = await client.createAttempt({ payment: id }, testCall({ user: {} }));
      return { payment: id, attempt: attempt.id };
    },
    read: (payment) => client.getPayment({ payment }, admin()),
    events: async (payment) => {
      const rows = await database.rows<{ type: string; version: number }>(
        sql`select type, version from events where stream = ${payment} order by version`,
      );
      return rows.map(({ type, version }, nth) => {
        if (version !== nth + 1) throw new Error(`event ${nth + 1} of ${payment} has version ${version}`);
        return type.replace("payments.", "");
      });
    },
    webhook: (attempt) => client.receiveWebhook({ provider: "scripted", ...provider.webhook(attempt) }, testCall()),
  };
}
