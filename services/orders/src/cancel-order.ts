import { create } from "@bufbuild/protobuf";
import { OrderTakeBackSchema } from "@kontor/contracts/gen/kontor/orders/v1/events_pb.js";
import type { OrderTakeBack } from "@kontor/contracts/gen/kontor/orders/v1/events_pb.js";
import { OrdersService, OrderStatus } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import type { CancelOrderRequest } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import { PaymentStatus } from "@kontor/contracts/gen/kontor/payments/v1/payments_pb.js";
import type { PaymentsService } from "@kontor/contracts/gen/kontor/payments/v1/payments_pb.js";
import type { Transaction } from "@kontor/platform/database/database.ts";
import { expectVersion } from "@kontor/platform/database/expect-version.ts";
import { refusalIn, refuse } from "@kontor/platform/errors/refusal.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import { isOwnOrAllowed } from "@kontor/platform/rpc/access.ts";
import type { Client } from "@kontor/platform/rpc/rpc.ts";
import type { ServiceContext } from "@kontor/platform/service/service.ts";
import type { TaskResult } from "@kontor/platform/tasks/tasks.ts";
import { takeBackQueue } from "./channels.ts";
import { cancel, isFree, pay, requestCancel, then } from "./order.ts";
import type { By, CancelCause, Decision } from "./order.ts";
import { lockOrder, readOrder } from "./order-store.ts";
import type { FindOrder, StoredOrder } from "./order-store.ts";
import { after, record } from "./record.ts";
import { visibleOrder } from "./view-order.ts";

// `cancelOrder` takes the order back at once; the task is for when that fails.
const inlineMs = 15_000;
const responseMs = 1_000;
const refusedMs = 3_600_000;

export type CancelNeeds = Pick<ServiceContext, "database" | "events" | "tasks" | "clock" | "log"> & {
  readonly payments: Client<typeof PaymentsService>;
};

/** What is done with an order once the state of its payment is known. */
type Decide = (order: StoredOrder, by: By) => Decision | undefined;

/**
 * Cancels an order. Unpaid: its payment is closed first, at the provider too, so that nobody can pay a cancelled order; when it was
 * captured before, the order is a paid one. Paid: it is marked as cancelling, refunded and cancelled; when the refund is not done in
 * time, the order is still PAID and `cancelling`, and a task continues. Refuses with ORDER_STATE once it is fulfilled.
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
    const dueAt = new Date(clock.now().getTime() + inlineMs);
    await database.transaction((tx) => startTakingBack(needs, tx, { order: id, cause, dueAt }, call));
    try {
      // This time is reserved for the response: a provider that is silent must not make the caller's deadline pass.
      const soon = call.with({ deadlineMs: call.deadlineMs - Math.min(responseMs, call.remainingMs() / 4) });
      const { effect } = await takeBack(needs)(create(OrderTakeBackSchema, { order: id, cause, actor: call.actor }), soon);
      await database.transaction((tx) => effect(tx));
    } catch (error) {
      // It is decided that the order is taken back: whatever failed here, the task repeats it.
      log.warn({ call, error, order: id }, "the refund is not done yet; the task continues");
    }
  };

/** Cancels an order for a caller who may see it. Refuses with NOT_FOUND and VERSION_CONFLICT, and as `cancelOrder` does. */
export const cancelVisibleOrder = (needs: CancelNeeds & { readonly find: FindOrder }) => {
  const cancelled = cancelOrder(needs);
  return async ({ order: id, version }: CancelOrderRequest, call: Call): Promise<void> => {
    const order = await visibleOrder(needs.find, id, call);
    const { status, cancelling, customer } = order.state;
    if (!isOwnOrAllowed(OrdersService.method.cancelOrder, customer, call))
      throw refuse({ reason: "PERMISSION_DENIED", code: "permission_denied" });
    // One that is cancelled, or about to be, may be past the version that the caller saw because of this very request.
    if (status !== OrderStatus.CANCELLED && !cancelling) expectVersion("order", order, version);
    await cancelled(order.id, call.user?.id === customer ? "CUSTOMER" : "ADMIN", call);
  };
};

/**
 * Marks a paid order as being taken back and writes the task that does it. The event of its payment's capture may not have arrived yet. Nothing
 * happens to one that is cancelled; refuses once it is fulfilled or completed.
 */
export async function startTakingBack(
  needs: Pick<CancelNeeds, "events" | "tasks" | "clock">,
  tx: Transaction,
  { order: id, cause, dueAt }: { readonly order: string; readonly cause: CancelCause; readonly dueAt?: Date },
  call: Call,
): Promise<void> {
  const at = needs.clock.now();
  const order = await lockOrder(tx, id);
  if (order.state.status === OrderStatus.CANCELLED) return;
  const decision = then(pay(order.state, { actor: "payments", at }), order.state, requestCancel);
  if (decision !== undefined) await record(tx, needs.events, [{ order, decision, call }], at);
  const payload = create(OrderTakeBackSchema, { order: id, cause, actor: call.actor });
  await needs.tasks.add(tx, call, [{ queue: takeBackQueue.name, key: id, payload, ...(dueAt && { dueAt }) }]);
}

/** Refunds an order that is being taken back; the effect cancels it. May be repeated: there is one refund and one end. */
export const takeBack =
  (needs: Pick<CancelNeeds, "database" | "events" | "clock" | "payments">) =>
  async (work: OrderTakeBack, call: Call): Promise<Required<Pick<TaskResult, "effect">>> => {
    const { state } = await readOrder(needs.database, work.order);
    if (state.status !== OrderStatus.CANCELLED && !isFree(state)) await needs.payments.refundPayment({ payment: state.payment }, call);
    return {
      effect: async (tx) => {
        const at = needs.clock.now();
        const order = await lockOrder(tx, work.order);
        const decision = cancel(order.state, work.cause as CancelCause, { actor: work.actor, at });
        if (decision !== undefined) await record(tx, needs.events, [{ order, decision, call }], at);
      },
    };
  };

/**
 * The same as a task. When the provider has refused to refund, an operator is alerted, hourly: the refund is not begun again but by them, and the order is
 * cancelled once theirs is done.
 */
export const takeBackTask =
  (needs: Parameters<typeof takeBack>[0] & Pick<CancelNeeds, "log">) =>
  async (work: OrderTakeBack, call: Call): Promise<TaskResult> => {
    try {
      return await takeBack(needs)(work, call);
    } catch (error) {
      if (refusalIn(error)?.reason !== "PROVIDER_REFUSED") throw error;
      needs.log.error(
        { alert: "REFUND_REFUSED", call, error, order: work.order },
        "a paid order cannot be taken back: the provider refuses to refund it",
      );
      return { again: new Date(needs.clock.now().getTime() + refusedMs) };
    }
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
