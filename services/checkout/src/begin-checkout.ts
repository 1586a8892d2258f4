import { CheckoutService } from "@kontor/contracts/gen/kontor/checkout/v1/checkout_pb.js";
import type { PlaceOrderRequest } from "@kontor/contracts/gen/kontor/checkout/v1/checkout_pb.js";
import type { Order } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import { secretId } from "@kontor/platform/ids/ids.ts";
import type { Call, User } from "@kontor/platform/call/call.ts";
import { fingerprintOf } from "@kontor/platform/call/idempotency-key.ts";
import type { SagaResult } from "@kontor/platform/saga/saga.ts";
import type { ServiceContext } from "@kontor/platform/service/service.ts";
import { fixedTimes } from "./deadline.ts";
import { joinOrder } from "./join-order.ts";
import type { JoiningRequest, JoinNeeds } from "./join-order.ts";
import { priceContent, readContent } from "./price-order.ts";
import type { OrderContent, PricedLine, PriceNeeds } from "./price-order.ts";

export type CheckoutNeeds = Pick<ServiceContext, "clock" | "ids"> & PriceNeeds & JoinNeeds;

const method = CheckoutService.method.placeOrder;

/**
 * Prices an order and runs the saga that places it. A repeat gets what its key has already, and who comes for a cart that has a live order gets that: see
 * `joinOrder`. Refuses with EMAIL_NOT_VERIFIED, and as `readContent`, `priceContent`, `joinOrder` and `Sagas.run` do.
 */
export const beginCheckout = (needs: CheckoutNeeds) => {
  const { database, sagas, placeOrder, clock, ids } = needs;
  const price = priceContent(needs);
  const join = joinOrder(needs);

  const begin = async (
    content: OrderContent,
    lines: readonly PricedLine[],
    customer: string,
    { id, key, fingerprint, call }: JoiningRequest,
  ) =>
    sagas.run(placeOrder, {
      id,
      subject: content.key === "" ? undefined : content.key,
      key,
      fingerprint,
      call,
      input: {
        customer,
        lines: [...lines],
        order: ids.next("ord"),
        payment: ids.next("pay"),
        paymentSecret: secretId("pp"),
        cart: content.key,
        cartVersion: content.version,
        ...fixedTimes(clock.now()),
      },
    });

  /** What a request gets that could not be priced: the result of its key, or the live order of its cart; undefined when there is neither. */
  const joinUnpriced = async (
    content: OrderContent | undefined,
    joining: JoiningRequest,
  ): Promise<SagaResult<Order> | "again" | undefined> => {
    // A repeat gets its first result even when its cart has expired or its goods have been sold out since.
    const known = await sagas.ofKey(placeOrder, joining);
    if (known !== undefined || content === undefined || content.key === "") return known;
    const [holder] = await sagas.holders(database, placeOrder, [content.key]);
    return holder && ((await join(holder, content, joining)) ?? "again");
  };

  return async (request: PlaceOrderRequest, call: Call): Promise<SagaResult<Order>> => {
    const customer = verifiedCustomer(call);
    const key = `${customer.id}/${method.name}/${call.idempotencyKey ?? ids.next("key")}`;
    const fingerprint = fingerprintOf(method.input, request).toString("base64url");
    for (;;) {
      call.check();
      const joining = { id: ids.next("chk"), key, fingerprint, call };
      let content: OrderContent | undefined;
      let lines: readonly PricedLine[];
      try {
        content = await readContent(needs, request, call);
        lines = await price(content, call);
      } catch (error) {
        const joined = await joinUnpriced(content, joining);
        if (joined === undefined) throw error;
        if (joined === "again") continue;
        return joined;
      }
      const begun = await begin(content, lines, customer.id, joining);
      if (begun.status !== "held") return begun;
      const joined = await join(begun, content, joining);
      if (joined !== undefined) return joined;
      // The cart is free now, and has other lines perhaps.
    }
  };
};

function verifiedCustomer(call: Call): User {
  const customer = call.signedIn();
  if (!customer.verified)
    throw refuse({ reason: "EMAIL_NOT_VERIFIED", code: "permission_denied", message: "Verify the e-mail address first" });
  return customer;
}
