import { PaymentCapturedSchema } from "@kontor/contracts/gen/kontor/payments/v1/events_pb.js";
import { PaymentStatus } from "@kontor/contracts/gen/kontor/payments/v1/payments_pb.js";
import type { OrderState } from "@kontor/contracts/gen/kontor/orders/v1/events_pb.js";
import { OrderStatus } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import { callFor } from "@kontor/platform/events/call-for.ts";
import { isEvent, subscription } from "@kontor/platform/events/events.ts";
import type { Subscription } from "@kontor/platform/events/events.ts";
import { cancel, pay } from "./order.ts";
import type { Decision } from "./order.ts";
import type { CancelNeeds } from "./cancel-order.ts";
import { startTakingBack } from "./cancel-order.ts";
import { claimsEvents, paymentsEvents, takeBackQueue } from "./channels.ts";
import { lockOrders } from "./order-store.ts";
import { recording } from "./record.ts";

/**
 * A partial refund, or the refund of an order that has left the warehouse, does not take the order back. One that is being taken back is
 * ended by its task, which knows who requested that and why.
 */
function takesBack(payment: PaymentStatus, { status, cancelling, fulfilments }: OrderState): boolean {
  return payment === PaymentStatus.REFUNDED && status === OrderStatus.PAID && !cancelling && fulfilments.length === 0;
}

/** What orders do when a payment was captured or refunded, and when a paid order's units turned out to be sold. */
export function orderSubscriptions(needs: Pick<CancelNeeds, "events" | "tasks" | "clock">): readonly Subscription[] {
  return [
    subscription({
      ...paymentsEvents,
      // A shopper waits for the order to be paid.
      pauseMs: 10,
      apply: async (tx, events) => {
        const at = needs.clock.now();
        const orders = await lockOrders(
          tx,
          events.map(({ data }) => data.payment!.order),
        );
        const decided = new Map<string, { decision: Decision; event: (typeof events)[number] }>();
        for (const event of events) {
          const order = orders.get(event.data.payment!.order);
          if (order === undefined) throw new Error(`there is no order ${event.data.payment!.order} for payment ${event.stream}`);
          const before = decided.get(order.id)?.decision;
          const state = before?.state ?? order.state;
          const by = { actor: "payments", at };
          // Its refund is done, perhaps begun again by an operator: the task need not wait for its hour.
          if (event.data.payment!.status === PaymentStatus.REFUNDED && state.cancelling)
            await needs.tasks.reschedule(tx, takeBackQueue.name, order.id, at);
          const decision = isEvent(event, PaymentCapturedSchema)
            ? pay(state, by)
            : takesBack(event.data.payment!.status, state)
              ? cancel(state, "REFUNDED", by)
              : undefined;
          if (decision !== undefined)
            decided.set(order.id, { decision: { state: decision.state, events: [...(before?.events ?? []), ...decision.events] }, event });
        }
        return recording(
          tx,
          needs.events,
          [...decided].map(([id, { decision, event }]) => ({ order: orders.get(id)!, decision, call: callFor(event, "orders") })),
          at,
        );
      },
    }),
    subscription({
      ...claimsEvents,
      apply: async (tx, events) => {
        // In the order of their ids, as everywhere where more than one is locked.
        await lockOrders(
          tx,
          events.map(({ data }) => data.order),
        );
        for (const event of events)
          await startTakingBack(needs, tx, { order: event.data.order, cause: "OUT_OF_STOCK" }, callFor(event, "orders"));
      },
    }),
  ];
}
