import { create } from "@bufbuild/protobuf";
import { OrderTakeBackSchema } from "@kontor/contracts/gen/kontor/orders/v1/events_pb.js";
import type { OrderTakeBack } from "@kontor/contracts/gen/kontor/orders/v1/events_pb.js";
import { OrderStatus } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import { PaymentStatus } from "@kontor/contracts/gen/kontor/payments/v1/payments_pb.js";
import type { PaymentsService } from "@kontor/contracts/gen/kontor/payments/v1/payments_pb.js";
import type { Transaction } from "@kontor/platform/database/database.ts";
import { outcomeUnknown } from "@kontor/platform/errors/refusal.ts";
import type { Call } from "@kontor/platform/rpc/call.ts";
import type { Client } from "@kontor/platform/rpc/rpc.ts";
import type { Surroundings } from "@kontor/platform/service/service.ts";
import type { NewTask, TaskResult } from "@kontor/platform/tasks/tasks.ts";
import { cancel, pay, requestCancel, then } from "./order.ts";
import type { By, CancelCause, Decision } from "./order.ts";
import { lockOrder, readOrder } from "./order-store.ts";
import type { StoredOrder } from "./order-store.ts";
import { after, record } from "./record.ts";

export const takeBackQueue = "order-take-back";

export type CancelNeeds = Pick<Surroundings, "database" | "events" | "tasks" | "clock" | "log"> & {
  readonly payments: Client<typeof PaymentsService>;
};

/** What is done with an order once it is known how its payment stands. */
type Decide = (order: StoredOrder, by: By) => Decision | undefined;

/**
 * Cancels an order for somebody. Unpaid: its payment is closed first, at the provider too, so that nobody can pay a cancelled order;
 * when the money came before, it is an order that is paid. Paid: it is marked, refunded and cancelled; when the provider does not
 * answer in time, the order is still PAID and `cancelling`, and a task goes on. Refuses with ORDER_STATE once it is fulfilled.
 */
export const cancelOrder =
  (needs: CancelNeeds) =>
  async (id: string, cause: CancelCause, call: Call): Promise<void> => {
    const { database, payments, clock, log } = needs;
    const { state } = await readOrder(database, id);
    if (state.status === OrderStatus.CANCELLED) return;
    if (state.status === OrderStatus.PENDING) {
      const payment = await payments.closePayment({ payment: state.payment }, call);
      if (payment.status === PaymentStatus.CLOSED) {
        await changeOrder(needs, id, call, (order, by) => cancel(order.state, cause, by));
        return;
      }
    }
    await database.transaction((tx) => startTakingBack(needs, tx, id, cause, call));
    try {
      const { effect } = await takeBack(needs)(create(OrderTakeBackSchema, { order: id, cause, actor: call.actor }), call);
      await database.transaction((tx) => effect(tx));
    } catch (error) {
      if (!outcomeUnknown(error)) throw error;
      log.warn({ call, error, order: id, at: clock.now() }, "the refund is not known yet; the task goes on");
    }
  };

/** Marks a paid order as being taken back and writes the task that does it. Its payment's capture may not have been heard of yet. */
export async function startTakingBack(needs: Pick<CancelNeeds, "events" | "tasks" | "clock">, tx: Transaction, id: string, cause: CancelCause, call: Call) {
  const at = needs.clock.now();
  const order = await lockOrder(tx, id);
  const by = { actor: call.actor, at };
  const paid = order.state.status === OrderStatus.PENDING ? pay(order.state, { actor: "payments", at }) : undefined;
  const decision = then(paid, order.state, requestCancel);
  if (decision !== undefined) await record(tx, needs.events, [{ order, decision, call }], at);
  await needs.tasks.add(tx, call, [takeBackTask(id, cause, by.actor)]);
}

export function takeBackTask(order: string, cause: CancelCause, actor: string): NewTask {
  return { queue: takeBackQueue, key: order, payload: create(OrderTakeBackSchema, { order, cause, actor }) };
}

/** Refunds an order that is being taken back; the effect cancels it. May be done more than once: the refund and the end are each one. */
export const takeBack =
  (needs: Pick<CancelNeeds, "database" | "events" | "clock" | "payments">) =>
  async (work: OrderTakeBack, call: Call): Promise<Required<Pick<TaskResult, "effect">>> => {
    const { state } = await readOrder(needs.database, work.order);
    if (state.status !== OrderStatus.CANCELLED) await needs.payments.refundPayment({ payment: state.payment }, call);
    return {
      effect: async (tx) => {
        const at = needs.clock.now();
        const order = await lockOrder(tx, work.order);
        const decision = cancel(order.state, work.cause as CancelCause, { actor: work.actor, at });
        if (decision !== undefined) await record(tx, needs.events, [{ order, decision, call }], at);
      },
    };
  };

/** Locks an order, decides, and records what was decided. */
export function changeOrder(
  { database, events, clock }: Pick<CancelNeeds, "database" | "events" | "clock">,
  id: string,
  call: Call,
  decide: Decide,
): Promise<StoredOrder> {
  return database.transaction((tx) => changeOrderIn(tx, { events, clock }, id, call, decide));
}

export async function changeOrderIn(
  tx: Transaction,
  { events, clock }: Pick<CancelNeeds, "events" | "clock">,
  id: string,
  call: Call,
  decide: Decide,
): Promise<StoredOrder> {
  const at = clock.now();
  const order = await lockOrder(tx, id);
  const decision = decide(order, { actor: call.actor, at });
  if (decision !== undefined) await record(tx, events, [{ order, decision, call }], at);
  return after(order, decision, at);
}
