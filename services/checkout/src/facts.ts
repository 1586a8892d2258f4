import { fromBinary } from "@bufbuild/protobuf";
import { PlaceOrderInputSchema } from "@kontor/contracts/gen/kontor/checkout/v1/checkout_pb.js";
import type { PlaceOrderInput } from "@kontor/contracts/gen/kontor/checkout/v1/checkout_pb.js";
import { OrderSchema } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import type { Order } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import { tryDecode } from "@kontor/platform/contract/try-decode.ts";
import { liveSagas, sagasByKey, storedSagas } from "@kontor/platform/saga/saga-facts.ts";
import type { StoredSaga } from "@kontor/platform/saga/saga-facts.ts";
import type { ServiceFacts } from "@kontor/platform/service/facts.ts";
import { placeOrderName } from "./place-order.ts";

/** A checkout: what was requested, and the order that was the response. Undefined where the bytes are none. */
export interface CheckoutFact extends Pick<StoredSaga, "id" | "status" | "refused"> {
  readonly input: PlaceOrderInput | undefined;
  readonly order: Order | undefined;
}

export interface CheckoutFacts {
  checkouts(after: string, limit: number): Promise<CheckoutFact[]>;
  /** The idempotency keys, with the checkouts that were started under each. */
  keys(after: string, limit: number): Promise<{ readonly key: string; readonly checkouts: readonly string[] }[]>;
  /** Those that have not ended, oldest first. */
  underWay(limit: number): ReturnType<typeof liveSagas>;
}

export const checkoutFacts: ServiceFacts<CheckoutFacts> = {
  service: "checkout",
  from: (checkout) => ({
    async checkouts(after, limit) {
      const sagas = await storedSagas(checkout, placeOrderName, after, limit);
      return sagas.map(({ id, status, refused, input, result }) => ({
        id,
        status,
        refused,
        input: tryDecode(() => fromBinary(PlaceOrderInputSchema, input)),
        order: result === null ? undefined : tryDecode(() => fromBinary(OrderSchema, result)),
      }));
    },
    keys: async (after, limit) => (await sagasByKey(checkout, after, limit)).map(({ key, sagas: checkouts }) => ({ key, checkouts })),
    underWay: (limit) => liveSagas(checkout, limit),
  }),
};
