import type { PlaceOrderInput } from "@kontor/contracts/gen/kontor/checkout/v1/checkout_pb.js";
import type { Order } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";

/** A saga under way: its input, and the results of its steps. */
export interface PlacingOrder {
  readonly input: PlaceOrderInput;
  readonly order?: Order;
}
