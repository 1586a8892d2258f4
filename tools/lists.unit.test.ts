import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { listDrift } from "./lists.ts";
import { file } from "./sources.ts";

interface Channel {
  readonly kind: "event" | "task";
  readonly transport: "kafka" | "rabbitmq";
  readonly schema: string;
}

describe("generated lists", () => {
  it("DOC-03: the registry of contracts, the channels and the lists of services are those of the contracts and definitions", async () => {
    assert.deepEqual(await listDrift(false), []);
  });

  it("MSG-03 MSG-04: the channels name every event and every queue with its schema; events go over Kafka and work over RabbitMQ, never the other way", () => {
    // That they are complete is the test above, and that services have the queues of their definitions is checked by their host.
    const channels = Object.entries(JSON.parse(file("contracts/channels.json").text) as Record<string, Channel>);
    assert.ok(channels.length > 30);
    for (const [name, { kind, transport, schema }] of channels) {
      assert.match(name, kind === "event" ? /^[a-z]+\.[a-z_]+\.[a-z_]+$/ : /^[a-z]+\/[a-z-]+$/);
      assert.equal(transport, kind === "event" ? "kafka" : "rabbitmq", name);
      assert.match(schema, /^(kontor\.[a-z]+\.v1|google\.protobuf)\.[A-Z]\w+$/);
    }
  });
});
