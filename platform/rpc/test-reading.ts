import { Allow } from "@kontor/contracts/gen/kontor/api/v1/options_pb.js";
import { ReadThingSchema, ThingSchema } from "@kontor/contracts/gen/kontor/testing/v1/testing_pb.js";
import { describeService } from "./describe-service.ts";

/** A service whose one method may wait for a change. */
export const ReadingService = describeService("kontor.testing.v1.ReadingService", {
  read: {
    input: ReadThingSchema,
    output: ThingSchema,
    allow: [Allow.PUBLIC],
    rest: { wait: "wait" },
    http: { pattern: { case: "get", value: "/v1/read/{sku}" } },
  },
});
