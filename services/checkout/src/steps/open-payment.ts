import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { PaymentsService } from "@kontor/contracts/gen/kontor/payments/v1/payments_pb.js";
import type { Client } from "@kontor/platform/rpc/rpc.ts";
import type { SagaStep } from "@kontor/platform/saga/saga.ts";
import { deadlineOf } from "../deadline.ts";
import type { PlacingOrder } from "../placing-order.ts";

/** Opens the order's payment. No provider is called until somebody wants to pay. */
export function openPayment(payments: Client<typeof PaymentsService>): SagaStep<PlacingOrder> {
  return {
    name: "open-payment",
    do: async ({ input, order }, call) => {
      const { payment, customer, paymentSecret: secret } = input;
      const expiresAt = timestampFromDate(deadlineOf(input));
      await payments.openPayment({ payment, order: input.order, customer, secret, amount: order!.total!, expiresAt }, call);
    },
    undo: async ({ input }, call) => {
      await payments.closePayment({ payment: input.payment }, call);
    },
  };
}
