import { timestampDate, timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { PlaceOrderInput } from "@kontor/contracts/gen/kontor/checkout/v1/checkout_pb.js";

const hourMs = 3_600_000;
/** How long an order can be paid. */
const orderMs = 24 * hourMs;
/** So much longer its units are set aside: a payment that began in the last minute still finds them. */
const reservedLongerMs = hourMs;

/** The times of a saga's input. They are fixed when it begins, however late its steps are done. */
export function fixedTimes(at: Date): Pick<PlaceOrderInput, "at" | "expiresAt"> {
  return { at: timestampFromDate(at), expiresAt: timestampFromDate(new Date(at.getTime() + orderMs)) };
}

/** Until when the order, and so its payment, can be paid. The input of an older version has the beginning only. */
export function deadlineOf({ at, expiresAt }: PlaceOrderInput): Date {
  return expiresAt === undefined ? new Date(timestampDate(at!).getTime() + orderMs) : timestampDate(expiresAt);
}

/** Until when the order's units are set aside: never less than until the order's deadline. */
export function reservedUntil(input: PlaceOrderInput): Date {
  return new Date(deadlineOf(input).getTime() + reservedLongerMs);
}
