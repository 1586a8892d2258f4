import { clone, create } from "@bufbuild/protobuf";
import type { Message } from "@bufbuild/protobuf";
import { timestampDate, timestampFromDate } from "@bufbuild/protobuf/wkt";
import { add, moneyFrom, moneyTo, times } from "@kontor/contracts/money.ts";
import {
  OrderCancelRequestedSchema,
  OrderCancelledSchema,
  OrderCompletedSchema,
  OrderFulfilledSchema,
  OrderPaidSchema,
  OrderPlacedSchema,
  OrderReminderDueSchema,
  OrderStateSchema,
} from "@kontor/contracts/gen/kontor/orders/v1/events_pb.js";
import type { OrderState } from "@kontor/contracts/gen/kontor/orders/v1/events_pb.js";
import { OrderStatus, StatusChangeSchema } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import type { CreateOrderRequest, Fulfilment } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import { refuse } from "@kontor/platform/errors/refusal.ts";

/** Hours after which an unpaid order is reminded of, and the hour at which it is cancelled when it was placed without a deadline. */
export const reminderHours = [4, 12, 22] as const;
const expiryHours = 24;
/** How long after its payment an order completes by itself. */
const completionMs = 24 * 3_600_000;

/** A decision: the order afterwards, and its events. */
export interface Decision {
  readonly state: OrderState;
  readonly events: readonly Message[];
}

/** Whether an order's time to be paid is over. */
export function isExpired(order: OrderState, at: Date): boolean {
  return timestampDate(order.expiresAt!) <= at;
}

/** When a paid order completes by itself. Throws when it was never paid. */
export function completionDue(order: OrderState): Date {
  const paid = order.history.find(({ status }) => status === OrderStatus.PAID);
  return new Date(timestampDate(paid!.at!).getTime() + completionMs);
}

/** When an unpaid order is reminded of next, or cancelled, seen from a time before its deadline. */
export function nextTick(order: OrderState, after: Date): Date {
  const expiresAt = timestampDate(order.expiresAt!);
  const createdMs = timestampDate(order.createdAt!).getTime();
  const reminders = reminderHours.map((hours) => new Date(createdMs + hours * 3_600_000));
  return reminders.find((due) => due > after && due < expiresAt) ?? expiresAt;
}

/** Who does something, and when. */
export interface By {
  readonly actor: string;
  readonly at: Date;
}

export type CancelCause = "CUSTOMER" | "ADMIN" | "EXPIRED" | "OUT_OF_STOCK" | "CHECKOUT" | "REFUNDED";

/** A new order, PENDING; PAID when there is nothing to pay. Refuses lines whose totals or currencies do not add up: prices are the catalogue's, never the client's. */
export function place(request: CreateOrderRequest, by: By): Decision {
  const totals = request.lines.map((line, at) => {
    const total = moneyFrom(line.total!);
    const expected = times(moneyFrom(line.unitPrice!), line.quantity);
    if (total.currency !== expected.currency || total.minor !== expected.minor)
      throw refuse({
        reason: "INVALID_REQUEST",
        code: "invalid_argument",
        fields: [{ field: `lines[${at}].total`, reason: "WRONG_TOTAL", message: "must be the unit price times the quantity" }],
      });
    return total;
  });
  const expiresAt = request.expiresAt ?? timestampFromDate(new Date(by.at.getTime() + expiryHours * 3_600_000));
  const state = create(OrderStateSchema, {
    order: request.order,
    status: OrderStatus.PENDING,
    customer: request.customer,
    lines: request.lines,
    total: moneyTo(totals.reduce(add)),
    payment: request.payment,
    cart: request.cart,
    cartVersion: request.cartVersion,
    history: [{ status: OrderStatus.PENDING, at: timestampFromDate(by.at), actor: by.actor }],
    createdAt: timestampFromDate(by.at),
    expiresAt,
  });
  const placed = { state, events: [create(OrderPlacedSchema, { order: state })] };
  return isFree(state) ? then(placed, state, (order) => pay(order, { actor: "payments", at: by.at }))! : placed;
}

/** Whether there is nothing to pay, and so nothing to give back. */
export function isFree(order: Pick<OrderState, "total">): boolean {
  return moneyFrom(order.total!).minor === 0n;
}

/** Its payment was captured. Undefined when that is known already, also when it has been taken back since. Throws when it was cancelled unpaid. */
export function pay(order: OrderState, by: By): Decision | undefined {
  if (order.history.some(({ status }) => status === OrderStatus.PAID)) return undefined;
  if (order.status !== OrderStatus.PENDING) throw new Error(`order ${order.order} was paid when it was ${OrderStatus[order.status]}`);
  const state = changed(order, OrderStatus.PAID, by);
  return { state, events: [create(OrderPaidSchema, { order: state })] };
}

/** So many hours have passed. Undefined unless it still waits for its payment and is not about to be cancelled. */
export function remind(order: OrderState, hours: number): Decision | undefined {
  if (order.status !== OrderStatus.PENDING || order.cancelling) return undefined;
  return { state: order, events: [create(OrderReminderDueSchema, { order, hours })] };
}

/** It is to be cancelled: its payment closed or refunded. Undefined when that is under way; refuses once it is fulfilled, completed or cancelled. */
export function requestCancel(order: OrderState): Decision | undefined {
  if (order.cancelling) return undefined;
  const isOpen = order.status === OrderStatus.PENDING || order.status === OrderStatus.PAID;
  if (!isOpen || order.fulfilments.length > 0) throw wrongState(order);
  const state = clone(OrderStateSchema, order);
  state.cancelling = true;
  return { state, events: [create(OrderCancelRequestedSchema, { order: state })] };
}

/**
 * Cancels: an unpaid order whose payment is closed, or a paid one whose payment is refunded, which is one that is being taken back
 * or whose refund brought this about. Undefined when it is cancelled already; refuses any other paid one, and once anything is fulfilled.
 */
export function cancel(order: OrderState, cause: CancelCause, by: By): Decision | undefined {
  if (order.status === OrderStatus.CANCELLED) return undefined;
  const refunded = order.cancelling || cause === "REFUNDED";
  const allowed = order.status === OrderStatus.PENDING || (order.status === OrderStatus.PAID && refunded && order.fulfilments.length === 0);
  if (!allowed) throw wrongState(order);
  const state = changed(order, OrderStatus.CANCELLED, by, cause);
  state.cancelling = false;
  return { state, events: [create(OrderCancelledSchema, { order: state, wasPaid: order.status === OrderStatus.PAID })] };
}

/** The whole order has left the warehouse: COMPLETED. Refuses unless it is paid and not being taken back. */
export function fulfil(order: OrderState, fulfilment: Fulfilment, by: By): Decision {
  if (order.status !== OrderStatus.PAID || order.cancelling) throw wrongState(order);
  const fulfilled = clone(OrderStateSchema, order);
  fulfilled.fulfilments.push(fulfilment);
  const state = changed(fulfilled, OrderStatus.COMPLETED, by);
  return { state, events: [create(OrderFulfilledSchema, { order: fulfilled }), create(OrderCompletedSchema, { order: state })] };
}

/** A day has passed since it was paid: COMPLETED. Undefined when it is not paid, being taken back, or completed already. */
export function complete(order: OrderState, by: By): Decision | undefined {
  if (order.status !== OrderStatus.PAID || order.cancelling) return undefined;
  const state = changed(order, OrderStatus.COMPLETED, by);
  return { state, events: [create(OrderCompletedSchema, { order: state })] };
}

/** What one decision after another makes. */
export function then(
  first: Decision | undefined,
  order: OrderState,
  next: (state: OrderState) => Decision | undefined,
): Decision | undefined {
  const second = next(first?.state ?? order);
  if (first === undefined || second === undefined) return second ?? first;
  return { state: second.state, events: [...first.events, ...second.events] };
}

export function wrongState(order: OrderState): Error {
  return refuse({
    reason: "ORDER_STATE",
    code: "failed_precondition",
    message: `The order is ${OrderStatus[order.status]}${order.cancelling ? " and being cancelled" : ""}`,
    details: { status: OrderStatus[order.status], cancelling: order.cancelling },
  });
}

function changed(order: OrderState, status: OrderStatus, by: By, cause = ""): OrderState {
  const state = clone(OrderStateSchema, order);
  state.status = status;
  state.history.push(create(StatusChangeSchema, { status, at: timestampFromDate(by.at), actor: by.actor, cause }));
  return state;
}
