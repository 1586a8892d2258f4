import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createRegistry } from "@bufbuild/protobuf";
import { EmptySchema, StringValueSchema } from "@bufbuild/protobuf/wkt";
import { subscription } from "../events/events.ts";
import { queue } from "../tasks/tasks.ts";
import { fakeService } from "../testing/fake-service.ts";
import { openTestServices } from "../testing/test-services.ts";
import type { DeclaredQueue, DeclaredSubscription, ServiceDefinition } from "./service.ts";

const work: DeclaredQueue = { name: "work", schema: EmptySchema };
const news: DeclaredSubscription = { name: "reader.news", publisher: "writer", schemas: [StringValueSchema] };

/** Opens a service that has one queue and one subscription, beside the service that it reads. */
const open = (declared: Pick<ServiceDefinition, "queues" | "subscriptions">) =>
  openTestServices({
    registry: createRegistry(),
    services: [
      fakeService("writer"),
      {
        ...fakeService("reader", () => ({
          routes: [],
          queues: [queue({ ...work, run: async () => undefined })],
          subscriptions: [subscription({ ...news, apply: async () => undefined })],
        })),
        ...declared,
      },
    ],
  });

describe("hosting a service", () => {
  it("refuses a queue or subscription that its definition does not declare as it is", async () => {
    await assert.rejects(open({ subscriptions: [news] }), /definition of reader does not declare its queue work: google\.protobuf\.Empty/);
    const other = { ...news, schemas: [EmptySchema] };
    await assert.rejects(open({ queues: [work], subscriptions: [other] }), /does not declare its subscription reader\.news of writer/);
  });

  it("refuses a definition that declares what the service does not do", async () => {
    const more = { name: "more", schema: EmptySchema };
    await assert.rejects(open({ queues: [work, more], subscriptions: [news] }), /reader has not created its declared queue more/);
  });
});
