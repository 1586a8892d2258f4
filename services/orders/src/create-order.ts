import { create } from "@bufbuild/protobuf";
import type { CreateOrderRequest } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import { OrderClockSchema } from "@kontor/contracts/gen/kontor/orders/v1/events_pb.js";
import { sqlState } from "@kontor/platform/database/database.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import type { ServiceContext } from "@kontor/platform/service/service.ts";
import { orderClockQueue } from "./channels.ts";
import { place, reminderHours } from "./order.ts";
import { insertOrderSql, readOrderOrVoid } from "./order-store.ts";
import type { StoredOrder } from "./order-store.ts";

type Needs = Pick<ServiceContext, "database" | "events" | "tasks" | "clock">;

/**
 * Makes an order, PENDING, in one statement with its event and its clock. The id is the caller's: a repeat gets the existing
 * order, whatever became of it. Refuses with ORDER_VOID when it was voided before.
 */
export const createOrder =
  ({ database, events, tasks, clock }: Needs) =>
  async (request: CreateOrderRequest, call: Call): Promise<StoredOrder> => {
    const at = clock.now();
    const { state, events: placed } = place(request, { actor: request.customer, at });
    const clockTask = {
      queue: orderClockQueue.name,
      key: request.order,
      payload: create(OrderClockSchema, { order: request.order }),
      dueAt: new Date(at.getTime() + reminderHours[0] * 3_600_000),
    };
    try {
      await database.run(
        sql`with made as (${insertOrderSql(state, request.paymentSecret)}),
          recorded as (${events.appendSql(call, [{ stream: request.order, expectedVersion: 0, events: placed }])}),
          clocked as (${tasks.addSql(call, [clockTask])})
          select 1 as made from made`,
      );
      events.wake();
      tasks.wake(clockTask.dueAt);
      return { id: request.order, version: 1, state, paymentSecret: request.paymentSecret, updatedAt: at };
    } catch (error) {
      // The id is taken, by the order or by its tombstone: then neither event nor clock is written either.
      if (sqlState(error) !== "23505") throw error;
    }
    const order = await readOrderOrVoid(database, request.order);
    if (order === "VOID") throw refuse({ reason: "ORDER_VOID", code: "failed_precondition", message: "The order was taken back" });
    return order;
  };
