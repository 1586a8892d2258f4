import { AttemptCheckSchema, RefundWorkSchema } from "@kontor/contracts/gen/kontor/payments/v1/events_pb.js";
import type { DeclaredQueue } from "@kontor/platform/service/service.ts";

export const attemptCheckQueue = { name: "check-attempt", schema: AttemptCheckSchema } as const satisfies DeclaredQueue;
export const giveBackQueue = { name: "give-attempt-back", schema: AttemptCheckSchema } as const satisfies DeclaredQueue;
export const refundQueue = { name: "refund", schema: RefundWorkSchema } as const satisfies DeclaredQueue;
