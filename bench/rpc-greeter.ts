import { Allow, Idempotency } from "@kontor/contracts/gen/kontor/api/v1/options_pb.js";
import { LineSchema, ThingSchema } from "@kontor/contracts/gen/kontor/testing/v1/testing_pb.js";
import { describeService } from "@kontor/platform/rpc/describe-service.ts";
import { implement } from "@kontor/platform/rpc/rpc.ts";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";

/** A method of the size of most: a line in, a thing with a line out. */
export const GreeterService = describeService("kontor.testing.v1.BenchDeskService", {
  greet: { input: LineSchema, output: ThingSchema, allow: [Allow.INTERNAL], rest: { idempotency: Idempotency.NONE } },
});

export const greeter = implement(GreeterService, {
  greet: async ({ sku, quantity }) => ({
    id: "thg_0123456789abcdef",
    displayName: `A thing called ${sku}`,
    version: quantity,
    lines: [{ sku, quantity, unitPrice: { currency: "EUR", amount: "19.99" } }],
  }),
});

const nothing = () => undefined;
export const silent: Logger = { debug: nothing, info: nothing, warn: nothing, error: nothing, child: () => silent };
