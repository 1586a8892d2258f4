import { create } from "@bufbuild/protobuf";
import { OrderTakeBackSchema } from "@kontor/contracts/gen/kontor/orders/v1/events_pb.js";
import type { OrderState, OrderTakeBack } from "@kontor/contracts/gen/kontor/orders/v1/events_pb.js";
import { OrdersService, OrderStatus } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import { PaymentStatus } from "@kontor/contracts/gen/kontor/payments/v1/payments_pb.js";
import type { PaymentsService } from "@kontor/contracts/gen/kontor/payments/v1/payments_pb.js";
import type { Transaction } from "@kontor/platform/database/database.ts";
import { SeenVersion } from "@kontor/platform/database/seen-version.ts";
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
import type { StoredOrder } from "./order-store.ts";
import { after, record } from "./record.ts";
import { expectVisible } from "./view-order.ts";

// A cancellation is carried out at once; the task is for when that fails.
const inlineMs = 15_000;
const responseMs = 1_000;
const refusedMs = 3_600_000;

export type CancelNeeds = Pick<ServiceContext, "database" | "events" | "tasks" | "clock" | "log"> & {
  readonly payments: Client<typeof PaymentsService>;
};

/** What is done with an order once the state of its payment is known. */
type Decide = (order: StoredOrder, by: By) => Decision | undefined;

/** Which order is to be cancelled, why, and at which version the caller has seen it. */
export interface CancelRequest {
  readonly order: string;
  readonly cause: CancelCause;
  readonly seen: SeenVersion;
}

/**
 * Decides that an order is to be cancelled: marks it, and writes the task that carries this out. From then on it is neither reminded of nor fulfilled, and
 * what is paid is refunded. Nothing happens to one that is cancelled or about to be. Refuses with NOT_FOUND, VERSION_CONFLICT, and with
 * ORDER_STATE once it is fulfilled.
 */
export async function decideToCancel(
  needs: Pick<CancelNeeds, "events" | "tasks" | "clock">,
  tx: Transaction,
  { order: id, cause, seen }: CancelRequest,
  call: Call,
): Promise<StoredOrder> {
  const at = needs.clock.now();
  const order = await lockOrder(tx, id, seen);
  if (order.state.status === OrderStatus.CANCELLED) return order;
  const decision = requestCancel(order.state);
  await recordCancelRequest(needs, tx, { order, decision, cause, at, dueAt: new Date(at.getTime() + inlineMs) }, call);
  return after(order, decision, at);
}

/** The same for a caller who may act on the order: its customer, or a role that the contract names. Refuses with PERMISSION_DENIED for others who see it. */
export async function decideToCancelVisible(
  needs: Pick<CancelNeeds, "events" | "tasks" | "clock">,
  tx: Transaction,
  { order: id, seen }: Omit<CancelRequest, "cause">,
  call: Call,
): Promise<StoredOrder> {
  const order = await readOrder(tx, id);
  expectVisible(order, call);
  if (!isOwnOrAllowed(OrdersService.method.cancelOrder, order.state.customer, call))
    throw refuse({ reason: "PERMISSION_DENIED", code: "permission_denied" });
  return decideToCancel(needs, tx, { order: id, cause: causeOf(order.state, call), seen }, call);
}

/**
 * Carries out at once what `decideToCancelVisible` has decided, as far as this can be done before the caller's deadline; the task does the rest. Gives the order as
 * it is then: CANCELLED, or still `cancelling`.
 */
export const carryOutCancel =
  (needs: CancelNeeds) =>
  async (id: string, call: Call): Promise<StoredOrder> => {
    const order = await readOrder(needs.database, id);
    try {
      return await carryOut(needs, order, causeOf(order.state, call), call);
    } catch (error) {
      // It is decided that the order is cancelled: whatever failed here, the task repeats it.
      needs.log.warn({ call, error, order: id }, "the cancellation is not done yet; the task continues");
      return readOrder(needs.database, id);
    }
  };

/**
 * Cancels an order for the shop itself. Throws while it is unpaid and the outcome at the payment provider is not known; the task continues then
 * too. Refuses as `decideToCancel` does.
 */
export const cancelOrder =
  (needs: CancelNeeds) =>
  async (id: string, cause: CancelCause, call: Call): Promise<void> => {
    const order = await needs.database.transaction((tx) => decideToCancel(needs, tx, { order: id, cause, seen: SeenVersion.any }, call));
    try {
      await carryOut(needs, order, cause, call);
    } catch (error) {
      if (order.state.status === OrderStatus.PENDING) throw error;
      needs.log.warn({ call, error, order: id }, "the refund is not done yet; the task continues");
    }
  };

/** Decides that a paid order is taken back. The event of its payment's capture may not have arrived yet. Otherwise as `decideToCancel`. */
export async function startTakingBack(
  needs: Pick<CancelNeeds, "events" | "tasks" | "clock">,
  tx: Transaction,
  { order: id, cause }: Omit<CancelRequest, "seen">,
  call: Call,
): Promise<void> {
  const at = needs.clock.now();
  const order = await lockOrder(tx, id, SeenVersion.any);
  if (order.state.status === OrderStatus.CANCELLED) return;
  const decision = then(pay(order.state, { actor: "payments", at }), order.state, requestCancel);
  await recordCancelRequest(needs, tx, { order, decision, cause, at, dueAt: at }, call);
}

async function recordCancelRequest(
  needs: Pick<CancelNeeds, "events" | "tasks">,
  tx: Transaction,
  {
    order,
    decision,
    cause,
    at,
    dueAt,
  }: {
    readonly order: StoredOrder;
    readonly decision: Decision | undefined;
    readonly cause: CancelCause;
    readonly at: Date;
    readonly dueAt: Date;
  },
  call: Call,
): Promise<void> {
  if (decision !== undefined) await record(tx, needs.events, [{ order, decision, call }], at);
  const payload = create(OrderTakeBackSchema, { order: order.id, cause, actor: call.actor });
  await needs.tasks.add(tx, call, [{ queue: takeBackQueue.name, key: order.id, payload, dueAt }]);
}

async function carryOut(needs: CancelNeeds, { id, state }: StoredOrder, cause: CancelCause, call: Call): Promise<StoredOrder> {
  if (state.status !== OrderStatus.CANCELLED) {
    // This time is reserved for the response: a provider that is silent must not make the caller's deadline pass.
    const soon = call.with({ deadlineMs: call.deadlineMs - Math.min(responseMs, call.remainingMs() / 4) });
    const { effect } = await takeBack(needs)(create(OrderTakeBackSchema, { order: id, cause, actor: call.actor }), soon);
    await needs.database.transaction((tx) => effect(tx));
  }
  return readOrder(needs.database, id);
}

/**
 * Closes the payment of an order that is to be cancelled, or refunds it when it was captured; the effect cancels the order. May be repeated: there is one refund
 * and one end. Refuses with PROVIDER_REFUSED when the refund was refused.
 */
export const takeBack =
  (needs: Pick<CancelNeeds, "database" | "events" | "clock" | "payments">) =>
  async (work: OrderTakeBack, call: Call): Promise<Required<Pick<TaskResult, "effect">>> => {
    const { state } = await readOrder(needs.database, work.order);
    const isOver = state.status === OrderStatus.CANCELLED;
    // At the provider too, so that nobody can pay a cancelled order.
    const isClosed = state.status === OrderStatus.PENDING && (await closed(needs, state.payment, call));
    if (!isOver && !isClosed && !isFree(state)) await needs.payments.refundPayment({ payment: state.payment }, call);
    return {
      effect: async (tx) => {
        const at = needs.clock.now();
        await changeOrderIn(tx, needs, work.order, call, ({ state: order }) => {
          const paid = isOver || isClosed ? undefined : pay(order, { actor: "payments", at });
          return then(paid, order, (now) => cancel(now, work.cause as CancelCause, { actor: work.actor, at }));
        });
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

/** Locks an order, decides, and records what was decided. Refuses as `lockOrder` and the decision do. */
export async function changeOrderIn(
  tx: Transaction,
  { events, clock }: Pick<CancelNeeds, "events" | "clock">,
  id: string,
  call: Call,
  decide: Decide,
  seen = SeenVersion.any,
): Promise<StoredOrder> {
  const at = clock.now();
  const order = await lockOrder(tx, id, seen);
  const decision = decide(order, { actor: call.actor, at });
  if (decision !== undefined) await record(tx, events, [{ order, decision, call }], at);
  return after(order, decision, at);
}

async function closed({ payments }: Pick<CancelNeeds, "payments">, payment: string, call: Call): Promise<boolean> {
  return (await payments.closePayment({ payment }, call)).status === PaymentStatus.CLOSED;
}

function causeOf({ customer }: OrderState, call: Call): CancelCause {
  return call.user?.id === customer ? "CUSTOMER" : "ADMIN";
}
