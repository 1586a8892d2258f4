import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { CheckoutService } from "@kontor/contracts/gen/kontor/checkout/v1/checkout_pb.js";
import type { PlaceOrderRequest } from "@kontor/contracts/gen/kontor/checkout/v1/checkout_pb.js";
import type { Order } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import { secretId } from "@kontor/platform/ids/ids.ts";
import type { Call, User } from "@kontor/platform/call/call.ts";
import { fingerprintOf } from "@kontor/platform/call/idempotency-key.ts";
import type { SagaResult, Sagas } from "@kontor/platform/saga/saga.ts";
import type { ServiceContext } from "@kontor/platform/service/service.ts";
import { priceOrder } from "./price-order.ts";
import type { PriceNeeds, PricedOrder } from "./price-order.ts";
import type { PlaceOrder } from "./place-order.ts";

export type CheckoutNeeds = Pick<ServiceContext, "clock" | "ids"> & PriceNeeds & { readonly sagas: Sagas; readonly placeOrder: PlaceOrder };

const method = CheckoutService.method.placeOrder;

/**
 * Prices an order and runs the saga that places it, or joins the one that runs under the same key or for the same cart. Refuses with
 * EMAIL_NOT_VERIFIED, and as `priceOrder` and `Sagas.run` do.
 */
export const beginCheckout = (needs: CheckoutNeeds) => {
  const { sagas, placeOrder, clock, ids } = needs;
  const price = priceOrder(needs);

  /** A repeat gets its first result even when its cart has expired or its goods have been sold out since. */
  const priceOrJoin = async (
    request: PlaceOrderRequest,
    known: { readonly key: string; readonly fingerprint: string },
    call: Call,
  ): Promise<PricedOrder | SagaResult<Order>> => {
    try {
      return await price(request, call);
    } catch (error) {
      const joined = await sagas.join(placeOrder, { ...known, call });
      if (joined === undefined) throw error;
      return joined;
    }
  };

  return async (request: PlaceOrderRequest, call: Call): Promise<SagaResult<Order>> => {
    const customer = verifiedCustomer(call);
    const key = `${customer.id}/${method.name}/${call.idempotencyKey ?? ids.next("key")}`;
    const fingerprint = fingerprintOf(method.input, request).toString("base64url");
    const priced = await priceOrJoin(request, { key, fingerprint }, call);
    if ("status" in priced) return priced;
    return sagas.run(placeOrder, {
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
        cartVersion: priced.cartVersion,
        at: timestampFromDate(clock.now()),
      },
    });
  };
};

function verifiedCustomer(call: Call): User {
  const customer = call.signedIn();
  if (!customer.verified)
    throw refuse({ reason: "EMAIL_NOT_VERIFIED", code: "permission_denied", message: "Verify the e-mail address first" });
  return customer;
}
