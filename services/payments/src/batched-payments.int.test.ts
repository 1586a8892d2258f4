import { toJsonString } from "@bufbuild/protobuf";
import { AttemptSchema, PaymentSchema, PaymentsService } from "@kontor/contracts/gen/kontor/payments/v1/payments_pb.js";
import { contracts } from "@kontor/contracts/registry.ts";
import { batchedCommandContract } from "@kontor/platform/batch/batched-command.contract.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import { ManualClock } from "@kontor/platform/clock/clock.ts";
import type { Connection } from "@kontor/platform/database/connection.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";
import { openTestReplica } from "@kontor/platform/testing/test-replica.ts";
import { testCall } from "@kontor/platform/testing/test-services.ts";
import { paymentsWith } from "./open-test-payments.ts";
import { scriptedProvider } from "./scripted-provider.ts";

const keyOf = (nth: number) => `pay_${String(nth).padStart(6, "0")}`;
const written = { table: "payments", column: "id" };

/** Payments in two processes, with one provider. */
async function openTwo(connections: readonly [Connection, Connection], log: Logger) {
  const clock = new ManualClock(new Date("2026-03-02T09:00:00Z"));
  const definition = paymentsWith(scriptedProvider());
  const [one, two] = [
    await openTestReplica(definition, { registry: contracts, connection: connections[0], clock, log }),
    await openTestReplica(definition, { registry: contracts, connection: connections[1], clock, log }),
  ];
  const clients = [one, two].map((replica) => replica.clientsFor("test").of("payments", PaymentsService));
  const open = (process: number, payment: string, call: Call) => {
    const [order, secret] = [payment.replace("pay", "ord"), payment.replace("pay", "pp")];
    return clients[process]!.openPayment(
      { payment, order, customer: "usr_test", secret, amount: { currency: "EUR", amount: "19.99" } },
      call,
    );
  };
  return { database: two.database, clients, open };
}

batchedCommandContract("payments.open", {
  keyOf,
  written,
  events: 1,
  open: async (connections, log) => {
    const { database, open } = await openTwo(connections, log);
    return {
      run: async (process, key, call) => toJsonString(PaymentSchema, await open(process, key, call)),
      effects: async (key) =>
        (await database.one<{ count: number }>(sql`select count(*)::int as count from payments where id = ${key} and status = 'OPEN'`))
          .count,
    };
  },
});

batchedCommandContract("payments.change, by an attempt", {
  keyOf,
  written,
  events: 2,
  tasks: async (database, key) =>
    (
      await database.one<{ count: number }>(
        sql`select count(*)::int as count from tasks where key in
          (select attempt ->> 'id' from payments, jsonb_array_elements(attempts) as attempt where payments.id = ${key})`,
      )
    ).count,
  open: async (connections, log) => {
    const { database, clients, open } = await openTwo(connections, log);
    return {
      prepare: async (keys) => void (await Promise.all(keys.map((key) => open(1, key, testCall())))),
      run: async (process, payment, call) => {
        const user = { id: "usr_test", session: "ses_test", roles: [], verified: true };
        return toJsonString(AttemptSchema, await clients[process]!.createAttempt({ payment }, call.with({ user })));
      },
      effects: async (key) =>
        (await database.one<{ count: number }>(sql`select jsonb_array_length(attempts) as count from payments where id = ${key}`)).count,
    };
  },
});
