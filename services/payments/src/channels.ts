import { AttemptCheckSchema, RefundWorkSchema } from "@kontor/contracts/gen/kontor/payments/v1/events_pb.js";
import type { DeclaredQueue } from "@kontor/platform/service/service.ts";

/** Reads an attempt's outcome from the provider when its webhook has not come. */
export const attemptCheckQueue = { name: "check-attempt", schema: AttemptCheckSchema } as const satisfies DeclaredQueue;
/** Refunds a second capture. */
export const giveBackQueue = { name: "give-attempt-back", schema: AttemptCheckSchema } as const satisfies DeclaredQueue;
/** Carries out a refund. */
export const refundQueue = { name: "refund", schema: RefundWorkSchema } as const satisfies DeclaredQueue;
