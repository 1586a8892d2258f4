import assert from "node:assert/strict";
import { createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { describe, it } from "node:test";
import { afterTests } from "../../testing/postgres.ts";
import { openTestInstallation } from "../open-test-installation.ts";
import { append, quick, recording, until } from "../test-subscriptions.ts";
import { createKafkaEvents } from "./kafka-events.ts";

/** A server that accepts connections and never responds, as a broker does that hangs. */
async function openSilentBroker() {
  const sockets = new Set<Socket>();
  const connected = Promise.withResolvers<void>();
  const server = createServer((socket) => {
    sockets.add(socket.on("error", () => undefined));
    connected.resolve();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  afterTests(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { address: `127.0.0.1:${(server.address() as AddressInfo).port}`, connected: connected.promise };
}

const timers = () => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;

describe("events: a broker that never responds", () => {
  it("R10: does not delay the stop of a process, nor callers that wait for events, and leaves no timer behind", async () => {
    const broker = await openSilentBroker();
    const installation = await openTestInstallation({ broker: (log) => createKafkaEvents({ brokers: [broker.address], log }) });
    const before = timers();
    const one = await installation.process();
    const watching = await one.subscribe([recording("watch"), recording("count")], quick);
    await append(one.publisher, one.log, "a", 0, 3);
    const caughtUp = assert.rejects(watching.caughtUp(), /watchers was stopped before its subscriptions had caught up/);
    await broker.connected;
    const stoppedMs = performance.now();
    await one.stop();
    await caughtUp;
    // The sweep of call deadlines runs for a few milliseconds more.
    await until(async () => timers() <= before);
    assert.ok(performance.now() - stoppedMs < 3_000);
  });
});
