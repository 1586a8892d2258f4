import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createLogger } from "../telemetry/create-logger.ts";
import { createLifecycle, type Component } from "./lifecycle.ts";

const log = createLogger({ service: "test", level: "silent" });

function setup(count = 3) {
  const happened: string[] = [];
  const component = (name: string, change: Partial<Component> = {}): Component => ({
    name,
    start: async () => void happened.push(`start ${name}`),
    stop: async () => void happened.push(`stop ${name}`),
    ...change,
  });
  const components = ["a", "b", "c"].slice(0, count).map((name) => component(name));
  return { happened, component, components };
}

describe("createLifecycle", () => {
  it("starts in order and stops in reverse, once", async () => {
    const { happened, component, components } = setup(2);
    const life = createLifecycle({ log, components });
    life.add(component("c"));
    await Promise.all([life.start(), life.start()]);
    await Promise.all([life.stop(), life.stop()]);
    await life.stop();
    assert.deepEqual(happened, ["start a", "start b", "start c", "stop c", "stop b", "stop a"]);
    assert.throws(() => life.add(component("d")), /d was added after the start/);
  });

  it("stops what was started when one fails, and throws that one's error", async () => {
    const { happened, component, components } = setup(2);
    const failure = new Error("port taken");
    const broken = component("broken", { start: () => Promise.reject(failure) });
    const life = createLifecycle({ log, components: [...components, broken, component("never")] });
    await assert.rejects(life.start(), failure);
    assert.deepEqual(happened, ["start a", "start b", "stop b", "stop a"]);
    assert.equal((await life.ready()).ready, false);
    await life.stop();
    assert.equal(happened.length, 4);
  });

  it("stops all others when one cannot be stopped, then throws", async () => {
    const { happened, component, components } = setup(1);
    const life = createLifecycle({
      log,
      components: [...components, component("broken", { stop: () => Promise.reject(new Error("stuck")) }), component("z")],
    });
    await life.start();
    await assert.rejects(life.stop(), (error: AggregateError) => /stuck/.test(String(error.errors[0])));
    assert.deepEqual(happened, ["start a", "start broken", "start z", "stop z", "stop a"]);
  });

  it("does not start the rest when it is stopped while starting", async () => {
    const { happened, component, components } = setup(1);
    const gate = Promise.withResolvers<void>();
    const starting = Promise.withResolvers<void>();
    const slow = component("slow", {
      start: () => {
        starting.resolve();
        return gate.promise;
      },
    });
    const life = createLifecycle({ log, components: [...components, slow, component("never")] });
    const start = life.start();
    await starting.promise;
    const stop = life.stop();
    gate.resolve();
    await assert.rejects(start, /stopped before never was started/);
    await stop;
    assert.deepEqual(happened, ["start a", "stop slow", "stop a"]);
  });

  it("can be stopped without having been started", async () => {
    const { happened, components } = setup();
    await createLifecycle({ log, components }).stop();
    assert.deepEqual(happened, []);
  });

  it("OBS-16: is ready when started and every component is, and names those that are not", async () => {
    const { component, components } = setup(1);
    let up = true;
    const life = createLifecycle({
      log,
      components: [
        ...components,
        component("database", { ready: () => up }),
        component("broker", { ready: () => (up ? Promise.resolve(true) : Promise.reject(new Error("unreachable"))) }),
      ],
    });
    assert.deepEqual(await life.ready(), { ready: false, notReady: ["process"] });
    await life.start();
    assert.deepEqual(await life.ready(), { ready: true, notReady: [] });
    up = false;
    assert.deepEqual(await life.ready(), { ready: false, notReady: ["database", "broker"] });
    up = true;
    life.drain();
    assert.deepEqual(await life.ready(), { ready: false, notReady: ["process"] });
    await life.stop();
  });

  it("is not ready after a failure, whose first error it gives", async () => {
    const { components } = setup(1);
    const life = createLifecycle({ log, components });
    await life.start();
    life.fail(new Error("the storage is lost"));
    life.fail(new Error("a second one"));
    assert.match(String(await life.failed), /the storage is lost/);
    assert.equal((await life.ready()).ready, false);
    await life.stop();
  });

  it("OBS-16: a component that does not respond within a second is not ready", async (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    const { component } = setup();
    const life = createLifecycle({ log, components: [component("mute", { ready: () => new Promise<boolean>(() => undefined) })] });
    await life.start();
    const ready = life.ready();
    t.mock.timers.tick(1_000);
    assert.deepEqual(await ready, { ready: false, notReady: ["mute"] });
    await life.stop();
  });
});
