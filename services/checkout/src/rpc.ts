import { CheckoutService, CheckoutStatus } from "@kontor/contracts/gen/kontor/checkout/v1/checkout_pb.js";
import { ownKey } from "@kontor/platform/rpc/keyed.ts";
import { implement } from "@kontor/platform/rpc/rpc.ts";
import type { Route } from "@kontor/platform/rpc/rpc.ts";
import { waiting } from "@kontor/platform/rpc/waiting.ts";
import { beginCheckout } from "./begin-checkout.ts";
import type { CheckoutNeeds } from "./begin-checkout.ts";
import { viewCheckout } from "./view-checkout.ts";

export function checkoutRoute(needs: CheckoutNeeds): Route {
  const begin = beginCheckout(needs);
  return implement(CheckoutService, {
    // The saga is stored with the key, and its result is the reply.
    placeOrder: ownKey(async (request, call) => {
      const result = await begin(request, call);
      if (result.status === "refused") throw result.refusal;
      if (result.status === "done") return { outcome: { case: "order", value: result.reply } };
      return { outcome: { case: "checkout", value: { id: result.id, status: CheckoutStatus.RUNNING } } };
    }),
    getCheckout: waiting({
      read: ({ checkout }, call) => viewCheckout(needs.sagas, checkout, call),
      isPending: ({ status }) => status === CheckoutStatus.RUNNING,
      watch: ({ checkout }) => needs.sagas.watch(checkout),
    }),
  });
}
