import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { FulfilmentSchema } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import type { CreateFulfilmentRequest } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import type { Transaction } from "@kontor/platform/database/database.ts";
import type { SeenVersion } from "@kontor/platform/database/seen-version.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import type { ServiceContext } from "@kontor/platform/service/service.ts";
import { changeOrderIn } from "./cancel-order.ts";
import { fulfil } from "./order.ts";
import type { By, Decision } from "./order.ts";
import type { StoredOrder } from "./order-store.ts";

/** Records that the whole order has been sent. Refuses with NOT_FOUND, VERSION_CONFLICT, and with ORDER_STATE unless it is paid. */
export function createFulfilment(
  needs: Pick<ServiceContext, "events" | "ids"> & Parameters<typeof changeOrderIn>[1],
  tx: Transaction,
  { order: id, carrier, tracking }: CreateFulfilmentRequest,
  { call, seen }: { readonly call: Call; readonly seen: SeenVersion },
): Promise<StoredOrder> {
  const decide = ({ state }: StoredOrder, by: By): Decision => {
    const fulfilment = create(FulfilmentSchema, { id: needs.ids.next("ful"), carrier, tracking, at: timestampFromDate(by.at) });
    return fulfil(state, fulfilment, by);
  };
  return changeOrderIn(tx, needs, id, call, decide, seen);
}
