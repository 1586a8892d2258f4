import { create } from "@bufbuild/protobuf";
import { CheckoutSchema, CheckoutStatus } from "@kontor/contracts/gen/kontor/checkout/v1/checkout_pb.js";
import type { Checkout } from "@kontor/contracts/gen/kontor/checkout/v1/checkout_pb.js";
import type { Order } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import type { Sagas } from "@kontor/platform/saga/saga.ts";

/** How a checkout goes on, for its customer and those who manage the shop. Refuses with NOT_FOUND for anybody else. */
export async function viewCheckout(sagas: Sagas, id: string, call: Call): Promise<Checkout> {
  const found = await sagas.find(id);
  if (found === undefined || (found.user !== call.signedIn().id && !call.hasRole("admin", "support")))
    throw refuse({ reason: "NOT_FOUND", code: "not_found", message: "There is no such checkout" });
  if (found.status === "running") return create(CheckoutSchema, { id, status: CheckoutStatus.RUNNING });
  if (found.status === "done") return create(CheckoutSchema, { id, status: CheckoutStatus.PLACED, order: found.reply as Order });
  const { reason, message } = found.refusal;
  return create(CheckoutSchema, { id, status: CheckoutStatus.REFUSED, problem: { reason, detail: message } });
}
