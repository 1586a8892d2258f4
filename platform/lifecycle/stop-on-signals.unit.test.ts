import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { describe, it } from "node:test";
import { createLogger } from "../telemetry/create-logger.ts";
import { stopOnSignals, type StopOptions } from "./stop-on-signals.ts";

function setup(options: Partial<StopOptions> = {}) {
  const exited = Promise.withResolvers<number>();
  const target = Object.assign(new EventEmitter(), { exit: (code: number) => exited.resolve(code) });
  const happened: string[] = [];
  const log = createLogger({
    service: "test",
    stream: { write: (line) => happened.push((JSON.parse(line) as { message: string }).message) },
  });
  const gate = Promise.withResolvers<void>();
  const failure = Promise.withResolvers<Error>();
  const lifecycle = {
    failed: failure.promise,
    drain: () => void happened.push("drain"),
    stop: () => {
      happened.push("stop");
      return gate.promise;
    },
  };
  const signals = stopOnSignals({ lifecycle, log, process: target, ...options });
  return { target, exited: exited.promise, happened, gate, signals, failure };
}

describe("stopOnSignals", () => {
  for (const signal of ["SIGTERM", "SIGINT"])
    it(`stops gracefully on ${signal} and exits with 0`, async () => {
      const { target, exited, happened, gate } = setup();
      target.emit(signal);
      gate.resolve();
      assert.equal(await exited, 0);
      assert.deepEqual(happened, ["stops", "drain", "stop"]);
    });

  it("exits at once on the second signal", async () => {
    const { target, exited, gate } = setup();
    target.emit("SIGTERM");
    target.emit("SIGINT");
    assert.equal(await exited, 130);
    gate.resolve();
  });

  it("exits with 1 when stopping takes too long or fails", async (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    const slow = setup();
    slow.target.emit("SIGTERM");
    t.mock.timers.tick(10_000);
    assert.equal(await slow.exited, 1);
    assert.equal(slow.happened.at(-1), "did not stop in time");
    const broken = setup();
    broken.target.emit("SIGTERM");
    broken.gate.reject(new Error("stuck"));
    assert.equal(await broken.exited, 1);
  });

  it("R23: is not ready for the drain before it stops", async (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    const { target, exited, happened, gate } = setup({ drainMs: 5_000 });
    target.emit("SIGTERM");
    t.mock.timers.tick(4_999);
    await Promise.resolve();
    assert.deepEqual(happened, ["stops", "drain"]);
    t.mock.timers.tick(1);
    gate.resolve();
    assert.equal(await exited, 0);
    assert.equal(happened.at(-1), "stop");
  });

  it("OBS-14: logs unhandled faults, stops and exits with 1", async () => {
    for (const [event, message] of [
      ["uncaughtException", "unhandled exception"],
      ["unhandledRejection", "unhandled rejection"],
    ] as const) {
      const { target, exited, happened, gate } = setup({ drainMs: 60_000 });
      target.emit(event, new Error("boom"));
      target.emit(event, new Error("boom again"));
      gate.resolve();
      assert.equal(await exited, 1);
      assert.deepEqual(happened, [message, "drain", message, "stop"]);
    }
  });

  it("OBS-16: after a failure of the lifecycle it waits a second at most and exits with 1, also while stopping on a signal", async (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    const [failed, stopping] = [setup(), setup()];
    stopping.target.emit("SIGTERM");
    for (const { failure } of [failed, stopping]) failure.resolve(new Error("PostgreSQL has ended"));
    await Promise.resolve();
    await Promise.resolve();
    t.mock.timers.tick(1_000);
    assert.deepEqual([await failed.exited, await stopping.exited], [1, 1]);
    assert.equal(failed.happened[0], "the process cannot work any longer and exits");
  });

  it("stops as on a signal when it is called", async () => {
    const { exited, happened, gate, signals } = setup();
    signals.stop("npm has ended");
    signals.stop("again");
    gate.resolve();
    assert.equal(await exited, 0);
    assert.deepEqual(happened, ["stops", "drain", "stop"]);
  });

  it("a fault while stopping on a signal turns the code into 1", async () => {
    const { target, exited, gate } = setup();
    target.emit("SIGTERM");
    target.emit("uncaughtException", new Error("boom"));
    gate.resolve();
    assert.equal(await exited, 1);
  });

  it("can be removed", () => {
    const { target, signals } = setup();
    signals.remove();
    assert.deepEqual(target.eventNames(), []);
  });
});
