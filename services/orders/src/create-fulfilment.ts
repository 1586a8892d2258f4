import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { FulfilmentSchema } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import type { CreateFulfilmentRequest } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import type { Transaction } from "@kontor/platform/database/database.ts";
import { expectVersion } from "@kontor/platform/database/expect-version.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import type { ServiceContext } from "@kontor/platform/service/service.ts";
import { changeOrderIn } from "./cancel-order.ts";
import { fulfil } from "./order.ts";
import type { StoredOrder } from "./order-store.ts";

/** Records that the whole order has been sent. Refuses with NOT_FOUND, VERSION_CONFLICT, and with ORDER_STATE unless it is paid. */
export function createFulfilment(
  needs: Pick<ServiceContext, "events" | "ids"> & Parameters<typeof changeOrderIn>[1],
  tx: Transaction,
  { order: id, version, carrier, tracking }: CreateFulfilmentRequest,
  call: Call,
): Promise<StoredOrder> {
  return changeOrderIn(tx, needs, id, call, (order, by) => {
    expectVersion("order", order, version);
    const fulfilment = create(FulfilmentSchema, { id: needs.ids.next("ful"), carrier, tracking, at: timestampFromDate(by.at) });
    return fulfil(order.state, fulfilment, by);
  });
}
