import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { engineAddress } from "../../testing/engines.ts";
import { openTlsServer, tlsFaults, writtenLog } from "../../testing/test-tls-server.ts";
import { append, assertExactlyOnce, recording } from "../test-subscriptions.ts";
import { createKafkaEvents } from "./kafka-events.ts";
import type { KafkaOptions } from "./kafka-options.ts";
import { openTestInstallation } from "../open-test-installation.ts";
import { testKafka } from "./test-kafka-topics.ts";
import { openTlsBroker } from "./test-kafka-tls.ts";

const broker = engineAddress("ENGINE_KAFKA");
const quick = { lingerMs: 0, pauseMs: 0, pollMs: 60_000 };

async function openProcess(options: Partial<KafkaOptions>) {
  const kafka = { ...testKafka(), ...options };
  const written = writtenLog();
  const installation = await openTestInstallation({ broker: (log) => createKafkaEvents({ ...kafka, log }), log: written.log });
  return { process: await installation.process(), ...written };
}

describe("events: Kafka with TLS", () => {
  it("SEC-05: come to a subscriber over encrypted connections only, with the configured authority", async () => {
    const server = await openTlsBroker(broker);
    const { process, lines } = await openProcess({ brokers: [`127.0.0.1:${server.port}`], tls: true, ca: server.ca });
    const watching = await process.subscribe([recording("watch")], quick);
    for (const stream of ["a", "b", "c"]) await append(process.publisher, process.log, stream, 0, 2);
    await watching.caughtUp();
    await assertExactlyOnce(process.publisher, process.subscriber, "watch");
    await process.stop();
    assert.deepEqual([lines, server.bypassed()], [[], 0]);
    assert.ok(server.received() > 0);
  });

  for (const fault of tlsFaults)
    it(`SEC-05: send nothing to a server ${fault.name}, log the reason, and wait in the log`, async () => {
      const { server, ca } = await fault.open(broker);
      const trust = ca === undefined ? {} : { ca };
      const { process, says } = await openProcess({ brokers: [`${server.host}:${server.port}`], tls: true, ...trust });
      const watching = await process.subscribe([recording("watch")], quick);
      await append(process.publisher, process.log, "a", 0, 1);
      await says(fault.says);
      const [status] = await watching.status();
      assert.deepEqual([status!.applied, status!.lag], [0, 1]);
      await process.stop();
      assert.equal(server.received(), 0);
    });

  it("SEC-05: are not sent in plain text to a server with TLS", async () => {
    const server = await openTlsServer(broker);
    const { process, says } = await openProcess({ brokers: [`127.0.0.1:${server.port}`], tls: false });
    await append(process.publisher, process.log, "a", 0, 1);
    await says(/the relay cannot publish/);
    await process.stop();
    assert.equal(server.received(), 0);
  });
});
