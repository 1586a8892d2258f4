import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { OrderChangeSchema, OrderSchema, OrderStatus } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import type { Order, OrderChange } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import type { OrderState } from "@kontor/contracts/gen/kontor/orders/v1/events_pb.js";
import type { RecordedEvent } from "@kontor/platform/events/events.ts";
import type { StoredOrder } from "./order-store.ts";

/** An order as the contract has it, with the address where it is paid while it is PENDING. */
export function orderMessage({ id, version, state, paymentSecret, updatedAt }: StoredOrder, publicUrl: string): Order {
  return create(OrderSchema, {
    id,
    version,
    status: state.status,
    customer: state.customer,
    lines: state.lines,
    total: state.total!,
    payment: { id: state.payment, ...(awaitsPayment(state) && { url: `${publicUrl}/pay/${paymentSecret}` }) },
    history: state.history,
    fulfilments: state.fulfilments,
    cancelling: state.cancelling,
    createdAt: state.createdAt!,
    expiresAt: state.expiresAt!,
    updatedAt: timestampFromDate(updatedAt),
  });
}

/** Nobody is to pay what is about to be cancelled; and the reply to a cancellation is stored, in which no secret may be. */
function awaitsPayment({ status, cancelling }: OrderState): boolean {
  return status === OrderStatus.PENDING && !cancelling;
}

/** An order's event as an entry of its history. */
export function changeMessage({ version, type, at, actor, data }: RecordedEvent): OrderChange {
  return create(OrderChangeSchema, {
    version,
    type,
    at: timestampFromDate(at),
    actor,
    // Every event of an order holds the order as it is after it.
    status: (data as unknown as { order: OrderState }).order.status,
  });
}
