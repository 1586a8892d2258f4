import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { OrderClock } from "@kontor/contracts/gen/kontor/orders/v1/events_pb.js";
import { OrderStatus } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import { PaymentStatus } from "@kontor/contracts/gen/kontor/payments/v1/payments_pb.js";
import type { Call } from "@kontor/platform/call/call.ts";
import type { TaskResult } from "@kontor/platform/tasks/tasks.ts";
import { cancel, complete, completionDue, isExpired, nextTick, pay, remind, reminderHours, then } from "./order.ts";
import { changeOrderIn } from "./cancel-order.ts";
import type { CancelNeeds } from "./cancel-order.ts";
import { readOrder } from "./order-store.ts";

const hourMs = 3_600_000;

/**
 * What an order does when its hours have passed: the one task that moves on from 4 to 12 and 22 hours and to its deadline. After a long pause only the
 * newest reminder is due. At its deadline an unpaid order is cancelled, once its payment is closed. A paid one is completed a day after it was paid.
 */
export const tickOrder =
  (needs: Pick<CancelNeeds, "database" | "events" | "clock" | "payments">) =>
  async (work: OrderClock, call: Call): Promise<TaskResult> => {
    const { state } = await readOrder(needs.database, work.order);
    if (state.status === OrderStatus.CANCELLED || state.status === OrderStatus.COMPLETED) return {};
    const now = needs.clock.now();
    if (state.status === OrderStatus.PAID) {
      const dueAt = completionDue(state);
      if (now < dueAt) return { again: dueAt };
      return { effect: async (tx) => void (await changeOrderIn(tx, needs, work.order, call, (order, by) => complete(order.state, by))) };
    }
    if (!isExpired(state, now)) {
      const passedHours = (now.getTime() - timestampDate(state.createdAt!).getTime()) / hourMs;
      const reminder = reminderHours.findLast((hours) => hours <= passedHours);
      if (reminder === undefined) return { again: nextTick(state, now) };
      return {
        again: nextTick(state, now),
        effect: async (tx) => {
          await changeOrderIn(tx, needs, work.order, call, (order) => remind(order.state, reminder));
        },
      };
    }
    const payment = await closed(needs, state.payment, call);
    return {
      // One that turned out to be paid is looked at again when its own day is over.
      ...(payment === PaymentStatus.CAPTURED && { again: now }),
      effect: async (tx) => {
        await changeOrderIn(tx, needs, work.order, call, ({ state: order }, by) => {
          if (payment === PaymentStatus.CLOSED) return cancel(order, "EXPIRED", by);
          // It was captured before this hour, and its event has not arrived yet.
          const paid = pay(order, { ...by, actor: "payments" });
          if (payment !== PaymentStatus.REFUNDED) return paid;
          return then(paid, order, (known) =>
            known.status === OrderStatus.PAID && !known.cancelling ? cancel(known, "REFUNDED", by) : undefined,
          );
        });
      },
    };
  };

async function closed({ payments }: Pick<CancelNeeds, "payments">, payment: string, call: Call): Promise<PaymentStatus> {
  return (await payments.closePayment({ payment }, call)).status;
}
