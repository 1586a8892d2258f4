import { toJsonString } from "@bufbuild/protobuf";
import { OrderSchema, OrdersService } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import { contracts } from "@kontor/contracts/registry.ts";
import { batchedCommandContract } from "@kontor/platform/batch/batched-command.contract.ts";
import { ManualClock } from "@kontor/platform/clock/clock.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import { openTestReplica } from "@kontor/platform/testing/test-replica.ts";
import { orders } from "./service.ts";

batchedCommandContract("orders.create", {
  keyOf: (nth) => `ord_${String(nth).padStart(6, "0")}`,
  written: { table: "orders", column: "id" },
  events: 1,
  tasks: async (database, key) =>
    (await database.one<{ count: number }>(sql`select count(*)::int as count from tasks where key = ${key}`)).count,
  open: async (connections, log) => {
    const clock = new ManualClock(new Date("2026-03-02T09:00:00Z"));
    const [one, two] = [
      await openTestReplica(orders, { registry: contracts, connection: connections[0], clock, log }),
      await openTestReplica(orders, { registry: contracts, connection: connections[1], clock, log }),
    ];
    const clients = [one, two].map((replica) => replica.clientsFor("checkout").of("orders", OrdersService));
    const price = { currency: "EUR", amount: "19.99" };
    return {
      run: async (process, order, call) => {
        const made = await clients[process]!.createOrder(
          {
            order,
            customer: "usr_test",
            lines: [{ sku: "A", product: "prd_A", title: "Thing A", quantity: 1, unitPrice: price, total: price }],
            payment: order.replace("ord", "pay"),
            paymentSecret: order.replace("ord", "pp"),
            cart: "",
          },
          call,
        );
        return toJsonString(OrderSchema, made);
      },
      effects: async (order) =>
        (
          await two.database.one<{ count: number }>(
            sql`select count(*)::int as count from orders where id = ${order} and status = 'PENDING'`,
          )
        ).count,
    };
  },
});
