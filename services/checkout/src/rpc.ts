import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { CheckoutSchema, CheckoutService, CheckoutStatus } from "@kontor/contracts/gen/kontor/checkout/v1/checkout_pb.js";
import type { Checkout, PlaceOrderRequest } from "@kontor/contracts/gen/kontor/checkout/v1/checkout_pb.js";
import type { Order } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import { secretId } from "@kontor/platform/ids/ids.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import { fingerprintOf } from "@kontor/platform/call/idempotency-key.ts";
import { ownKey } from "@kontor/platform/rpc/keyed.ts";
import { implement } from "@kontor/platform/rpc/rpc.ts";
import type { Route } from "@kontor/platform/rpc/rpc.ts";
import type { SagaResult, Sagas } from "@kontor/platform/saga/saga.ts";
import type { ServiceContext } from "@kontor/platform/service/service.ts";
import { priceOrder } from "./price-order.ts";
import type { PriceNeeds, PricedOrder } from "./price-order.ts";
import type { PlaceOrder } from "./place-order.ts";

type Needs = Pick<ServiceContext, "clock" | "ids"> & PriceNeeds & { readonly sagas: Sagas; readonly placeOrder: PlaceOrder };

export function checkoutRoute(needs: Needs): Route {
  const { sagas, clock, ids } = needs;
  const price = priceOrder(needs);

  const place = async (request: PlaceOrderRequest, call: Call): Promise<SagaResult<Order>> => {
    const customer = call.signedIn();
    if (!customer.verified)
      throw refuse({ reason: "EMAIL_NOT_VERIFIED", code: "permission_denied", message: "Verify the e-mail address first" });
    const key = `${customer.id}/${CheckoutService.method.placeOrder.name}/${call.idempotencyKey ?? ids.next("key")}`;
    const fingerprint = fingerprintOf(CheckoutService.method.placeOrder.input, request).toString("base64url");
    const priced = await priceOrJoin(request, { key, fingerprint }, call);
    if ("status" in priced) return priced;
    return sagas.run(needs.placeOrder, {
      id: ids.next("chk"),
      subject: priced.cart === "" ? undefined : priced.cart,
      key,
      fingerprint,
      call,
      input: {
        customer: customer.id,
        lines: [...priced.lines],
        order: ids.next("ord"),
        payment: ids.next("pay"),
        paymentSecret: secretId("pp"),
        cart: priced.cart,
        at: timestampFromDate(clock.now()),
      },
    });
  };

  /** A repeat whose cart is gone or whose goods are sold out since gets its first answer all the same. */
  const priceOrJoin = async (
    request: PlaceOrderRequest,
    known: { readonly key: string; readonly fingerprint: string },
    call: Call,
  ): Promise<PricedOrder | SagaResult<Order>> => {
    try {
      return await price(request, call);
    } catch (error) {
      const joined = await sagas.join(needs.placeOrder, { ...known, call });
      if (joined === undefined) throw error;
      return joined;
    }
  };

  return implement(CheckoutService, {
    // The saga is stored with the key, and its result is the reply.
    placeOrder: ownKey(async (request, call) => {
      const result = await place(request, call);
      if (result.status === "refused") throw result.refusal;
      if (result.status === "done") return { outcome: { case: "order", value: result.reply } };
      return { outcome: { case: "checkout", value: create(CheckoutSchema, { id: result.id, status: CheckoutStatus.RUNNING }) } };
    }),
    getCheckout: async ({ checkout: id }, call): Promise<Checkout> => {
      const found = await sagas.find(id);
      if (found === undefined || (found.user !== call.signedIn().id && !call.hasRole("admin", "support")))
        throw refuse({ reason: "NOT_FOUND", code: "not_found", message: "There is no such checkout" });
      if (found.status === "running") return create(CheckoutSchema, { id, status: CheckoutStatus.RUNNING });
      if (found.status === "done") return create(CheckoutSchema, { id, status: CheckoutStatus.PLACED, order: found.reply as Order });
      const { reason, message } = found.refusal;
      return create(CheckoutSchema, { id, status: CheckoutStatus.REFUSED, problem: { reason, detail: message } });
    },
  });
}
