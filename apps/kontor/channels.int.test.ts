import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { contracts } from "@kontor/contracts/registry.ts";
import { eventTypeOf } from "@kontor/platform/contract/contract.ts";
import { eventMessages } from "@kontor/platform/events/event-schemas.ts";
import { openTestServices } from "@kontor/platform/testing/test-services.ts";
import { definitions } from "./roles.ts";

interface Channel {
  readonly kind: "event" | "task";
  readonly transport: "kafka" | "rabbitmq";
  readonly schema: string;
}

const registered = JSON.parse(readFileSync(new URL("../../contracts/channels.json", import.meta.url), "utf8")) as Record<string, Channel>;

describe("the registry of channels", () => {
  it("MSG-03 MSG-04: names every event and every queue with its schema; events go over Kafka and work over RabbitMQ, never the other way", async () => {
    const app = await openTestServices({ services: definitions, registry: contracts });
    const found: Record<string, Channel> = {};
    for (const schema of eventMessages(contracts))
      found[eventTypeOf(schema)] = { kind: "event", transport: "kafka", schema: schema.typeName };
    for (const [name, { service }] of app.services)
      for (const { name: queue, schema } of service.queues ?? [])
        found[`${name}/${queue}`] = { kind: "task", transport: "rabbitmq", schema: schema.typeName };
    assert.deepEqual(registered, found);
    assert.ok(Object.keys(found).length > 30);
  });
});
