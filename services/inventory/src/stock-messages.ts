import { create, fromBinary } from "@bufbuild/protobuf";
import type { Message } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import {
  StockClaimedSchema,
  StockMovedSchema,
  StockReleasedSchema,
  StockReservedSchema,
} from "@kontor/contracts/gen/kontor/inventory/v1/events_pb.js";
import {
  MovementKind,
  MovementSchema,
  ReservationSchema,
  ReservationStatus,
  StockPolicy,
  StockSchema,
} from "@kontor/contracts/gen/kontor/inventory/v1/inventory_pb.js";
import type { Movement, Reservation, Stock } from "@kontor/contracts/gen/kontor/inventory/v1/inventory_pb.js";
import { eventTypeOf } from "@kontor/platform/contract/contract.ts";
import type { StockChange, StoredReservation } from "./stock-ledger.ts";
import type { Level, Policy } from "./stock.ts";

/** When and by whom, and ids for new movements. */
export interface Circumstances {
  readonly at: Date;
  readonly actor: string;
  readonly note: string;
  readonly newId: () => string;
}

/** The entries of the ledger that a change makes: none when it only sets units aside or frees them. */
export function movementsOf({ kind, sku, orders }: StockChange, { at, actor, note, newId }: Circumstances): Movement[] {
  if (kind === "RESERVED" || kind === "RELEASED" || kind === "POLICY") return [];
  const sign = kind === "WRITTEN_OFF" || kind === "CLAIMED" ? -1 : 1;
  return orders.map(({ order, quantity }) =>
    create(MovementSchema, {
      id: newId(),
      sku,
      kind: MovementKind[kind],
      quantity: sign * quantity,
      note,
      order,
      actor,
      at: timestampFromDate(at),
    }),
  );
}

/** The event of a change, with the stock as it is afterwards. */
export function eventOf({ kind, orders, after }: StockChange, movements: Movement[], at: Date): Message {
  const stock = stockMessage(after, at);
  switch (kind) {
    case "RESERVED":
      return create(StockReservedSchema, { stock, orders });
    case "RELEASED":
      return create(StockReleasedSchema, { stock, orders });
    case "CLAIMED":
      return create(StockClaimedSchema, { stock, orders });
    case "RECEIVED":
    case "RETURNED":
    case "WRITTEN_OFF":
    case "POLICY":
      return create(StockMovedSchema, { stock, movements });
  }
}

const skuEvents = new Map(
  [StockMovedSchema, StockReservedSchema, StockReleasedSchema, StockClaimedSchema].map((schema) => [eventTypeOf(schema), schema]),
);

/** The stock that an event of a SKU's stream carries; undefined for a type that no such stream has. Throws for bytes that are no such event. */
export function stockOfEvent(type: string, data: Uint8Array): Stock | undefined {
  const schema = skuEvents.get(type);
  return schema && fromBinary(schema, data).stock;
}

export function stockMessage({ sku, onHand, reserved, version, policy = "COUNTED" }: Level, at: Date): Stock {
  const available = onHand - reserved;
  return create(StockSchema, { sku, onHand, reserved, available, version, policy: StockPolicy[policy], updatedAt: timestampFromDate(at) });
}

/** The policy that a message says; messages of older versions say none. */
export function policyOf({ policy }: Pick<Stock, "policy">): Policy {
  return policy === StockPolicy.BACKORDER ? "BACKORDER" : policy === StockPolicy.NOT_COUNTED ? "NOT_COUNTED" : "COUNTED";
}

/** A reservation as a caller gets it: whether it was closed or freed makes no difference to others. */
export function reservationMessage({ order, status, lines, expiresAt }: StoredReservation): Reservation {
  return create(ReservationSchema, {
    order,
    status: ReservationStatus[status === "CLOSED" ? "FREED" : status],
    lines: [...lines],
    expiresAt: timestampFromDate(expiresAt),
  });
}
