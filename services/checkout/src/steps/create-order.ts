import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { OrdersService } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import type { Client } from "@kontor/platform/rpc/rpc.ts";
import type { SagaStep } from "@kontor/platform/saga/saga.ts";
import { deadlineOf } from "../deadline.ts";
import type { PlacingOrder } from "../placing-order.ts";

/** Makes the order, PENDING. */
export function createOrder(orders: Client<typeof OrdersService>): SagaStep<PlacingOrder> {
  return {
    name: "create-order",
    do: async (state, call) => {
      const { order, customer, lines, payment, paymentSecret, cart, cartVersion } = state.input;
      const expiresAt = timestampFromDate(deadlineOf(state.input));
      const request = { order, customer, lines, payment, paymentSecret, cart, cartVersion, expiresAt };
      return { ...state, order: await orders.createOrder(request, call) };
    },
    undo: async ({ input }, call) => {
      await orders.voidOrder({ order: input.order }, call);
    },
  };
}
