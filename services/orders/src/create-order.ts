import { create } from "@bufbuild/protobuf";
import type { Message } from "@bufbuild/protobuf";
import { OrderClockSchema } from "@kontor/contracts/gen/kontor/orders/v1/events_pb.js";
import type { CreateOrderRequest } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import { createBatch } from "@kontor/platform/batch/batch.ts";
import type { BatchItem } from "@kontor/platform/batch/batch.ts";
import { writeAll } from "@kontor/platform/batch/write-all.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import type { ServiceContext } from "@kontor/platform/service/service.ts";
import { orderClockQueue } from "./channels.ts";
import { isExpired, nextTick, place } from "./order.ts";
import { insertOrdersSql, readOrdersOrVoid } from "./order-store.ts";
import type { StoredOrder } from "./order-store.ts";

type Needs = Pick<ServiceContext, "database" | "events" | "tasks" | "clock">;

/** An order as its rule has decided it. */
interface Placed extends StoredOrder {
  readonly events: readonly Message[];
}

/**
 * Makes orders, PENDING, or PAID when there is nothing to pay: those that come at the same time in one statement, each with its event and its clock.
 * The id is the caller's: a repeat gets the existing order, whatever became of it. Refuses with ORDER_VOID when it was voided before, and with
 * ORDER_EXPIRED past its deadline: its units may be somebody else's by then.
 */
export function createOrder(needs: Needs): (request: CreateOrderRequest, call: Call) => Promise<StoredOrder> {
  const batch = createBatch<Placed, StoredOrder>({
    name: "orders.create",
    keyOf: ({ id }) => id,
    sizeOf: ({ state }) => state.lines.length,
    execute: (items) => insertAll(needs, items),
  });
  return async (request, call) => {
    const { order: id, paymentSecret, customer } = request;
    const at = needs.clock.now();
    const placed = place(request, { actor: customer, at });
    return batch.run({ id, version: placed.events.length, paymentSecret, updatedAt: at, ...placed }, call);
  };
}

async function insertAll(needs: Needs, items: readonly BatchItem<Placed>[]): Promise<(StoredOrder | Error)[]> {
  const inTime = items.filter(({ request }) => !isExpired(request.state, request.updatedAt));
  const made = inTime.length === 0 ? new Set<string>() : await writeNew(needs, inTime);
  const taken = items.flatMap(({ request: { id } }) => (made.has(id) ? [] : [id]));
  const there = await readOrdersOrVoid(needs.database, taken);
  return items.map(({ request: { events: _, ...order } }) => {
    if (made.has(order.id)) return order;
    const found = there.get(order.id);
    if (found === "VOID") return refuse({ reason: "ORDER_VOID", code: "failed_precondition", message: "The order was taken back" });
    if (found !== undefined) return found;
    if (!isExpired(order.state, order.updatedAt)) return new Error(`order ${order.id} is neither made nor there`);
    return refuse({
      reason: "ORDER_EXPIRED",
      code: "failed_precondition",
      message: "The time to pay the order was over before it was made",
    });
  });
}

function writeNew(needs: Needs, items: readonly BatchItem<Placed>[]): Promise<ReadonlySet<string>> {
  return writeAll(needs, {
    state: insertOrdersSql(items.map(({ request }) => request)),
    streams: items.map(({ request: { id, events }, call }) => ({ stream: id, expectedVersion: 0, events, call })),
    tasks: items.map(({ request: { id, updatedAt, state }, call }) => ({
      queue: orderClockQueue.name,
      key: id,
      of: id,
      payload: create(OrderClockSchema, { order: id }),
      dueAt: nextTick(state, updatedAt),
      call,
    })),
    call: items[0]!.call,
  });
}
