import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, it } from "node:test";
import { CheckoutStatus } from "@kontor/contracts/gen/kontor/checkout/v1/checkout_pb.js";
import type { GetCheckoutRequest } from "@kontor/contracts/gen/kontor/checkout/v1/checkout_pb.js";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import { createChanges } from "@kontor/platform/changes/changes.ts";
import { ReadingService } from "@kontor/platform/rpc/test-reading.ts";
import { implement } from "@kontor/platform/rpc/rpc.ts";
import { waiting } from "@kontor/platform/rpc/waiting.ts";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";
import type { GatewayOptions } from "../gateway.ts";
import { openTestShop, tokenOf } from "../test-shop.ts";

const silent = () => undefined;
const log: Logger = { debug: silent, info: silent, warn: silent, error: silent, child: () => log };

/** A shop with one thing, which is pending until its version is 3, and how it is being read. */
async function openThing(gateway: Partial<GatewayOptions> = {}) {
  let version = 1;
  let reads = 0;
  let watches = 0;
  const events = new EventTarget();
  const changes = createChanges({ versionsOf: async () => [], log });
  const route = implement(ReadingService, {
    read: waiting({
      read: async ({ sku }) => {
        reads++;
        return { id: sku, version };
      },
      isPending: (reply) => reply.version < 3,
      watch: ({ sku }) => {
        const watch = changes.watch(sku);
        const { close } = watch;
        watches++;
        events.dispatchEvent(new Event("watches"));
        return Object.assign(watch, {
          close: () => {
            close();
            watches--;
            events.dispatchEvent(new Event("watches"));
          },
        });
      },
    }),
  });
  const shop = await openTestShop({ more: (rpc) => rpc.serve("reading", [route]), gateway });
  return {
    shop,
    reads: () => reads,
    change: () => {
      version++;
      changes.announce(["tea"]);
    },
    /** Resolves when so many reads wait. */
    waits: async (count: number) => {
      while (watches !== count) await new Promise((resolve) => events.addEventListener("watches", resolve, { once: true }));
    },
    get: async (prefer?: string, etag?: string) => {
      const headers = { ...(prefer !== undefined && { Prefer: prefer }), ...(etag !== undefined && { "If-None-Match": etag }) };
      return summaryOf(await shop.get("/v1/read/tea", headers));
    },
    [Symbol.asyncDispose]: () => shop[Symbol.asyncDispose](),
  };
}

async function summaryOf(response: Response) {
  const { version } = response.status === 200 ? ((await response.json()) as { readonly version: number }) : { version: undefined };
  const { headers } = response;
  return { status: response.status, version, applied: headers.get("preference-applied"), etag: headers.get("etag") ?? "" };
}

describe("gateway: reads that wait", { concurrency: true }, () => {
  it("ORD-06: one that prefers to wait is responded to after the next change, and says so", async () => {
    await using thing = await openThing();
    const pending = thing.get("wait=10");
    await thing.waits(1);
    thing.change();
    const changed = await pending;
    assert.deepEqual([changed.status, changed.version, changed.applied], [200, 2, "wait=10"]);
    assert.match(changed.etag, /^"2\.[\w-]{27}"$/);
    const plain = await thing.get();
    assert.deepEqual([plain.version, plain.applied, plain.etag], [2, null, changed.etag]);
    thing.change();
    const final = await thing.get("wait=60");
    assert.deepEqual([final.version, final.applied], [3, "wait=10"], "what is final is not waited for");
  });

  it("ORD-06: with If-None-Match it waits for another version, and is 304 when the time is over", async () => {
    await using thing = await openThing();
    const { etag } = await thing.get();
    assert.deepEqual(await thing.get("wait=1", etag), { status: 304, version: undefined, applied: "wait=1", etag });
    const pending = thing.get("wait=10", `"0.${"x".repeat(27)}", ${etag}`);
    await thing.waits(1);
    thing.change();
    assert.deepEqual([(await pending).status, (await pending).version], [200, 2]);
    for (const other of [etag, '"another"', `"7.${"x".repeat(27)}"`]) {
      const differs = await thing.get("wait=10", other);
      assert.deepEqual([differs.status, differs.version, differs.applied], [200, 2, "wait=10"], `${other} differs already`);
    }
    thing.change();
    const final = (await thing.get()).etag;
    const later = thing.get("wait=10", final);
    await thing.waits(1);
    thing.change();
    assert.equal((await later).version, 4, "what is final may change nevertheless");
  });

  it("GW-08: a preference that is malformed or not known is ignored, and nobody can send the wait in another way", async () => {
    await using thing = await openThing();
    for (const prefer of ["wait=0", "wait=soon", "respond-async"])
      assert.deepEqual([(await thing.get(prefer)).version, (await thing.get(prefer)).applied], [1, null], prefer);
    assert.equal((await thing.shop.get("/v1/read/tea?wait=1")).status, 400);
    const path = `/${ReadingService.typeName}/Read`;
    const refused = await thing.shop.send("POST", path, { sku: "tea", wait: { forMs: 10_000 } });
    assert.equal(refused.status, 400);
    assert.match(await refused.text(), /wait is set by the server/);
    assert.equal((await thing.shop.get("/v1/products", { Prefer: "wait=10" })).headers.get("preference-applied"), null);
  });

  it("RES-05: 1,000 that wait do not keep others out, and are all responded to", async () => {
    await using thing = await openThing({ limits: { inFlight: 2, waiting: 2 } });
    const pending = [];
    // Few at a time, so that their connections are accepted in time.
    for (let count = 0; count < 1_000; count += 50) {
      pending.push(...Array.from({ length: 50 }, () => thing.get("wait=10")));
      await thing.waits(pending.length);
    }
    assert.deepEqual([(await thing.get()).status, (await thing.get()).version], [200, 1]);
    thing.change();
    for (const response of await Promise.all(pending)) assert.deepEqual([response.status, response.version], [200, 2]);
    await thing.waits(0);
  });

  it("RES-05: while too many wait, one more is responded to at once and told so", async () => {
    await using thing = await openThing({ waitsMax: 2 });
    const pending = [thing.get("wait=10"), thing.get("wait=10")];
    await thing.waits(2);
    assert.deepEqual([(await thing.get("wait=10")).version, (await thing.get("wait=10")).applied], [1, null]);
    thing.change();
    assert.deepEqual([(await pending[0]!).version, (await pending[1]!).version], [2, 2]);
    const again = thing.get("wait=10");
    await thing.waits(1);
    thing.change();
    assert.equal((await again).applied, "wait=10");
  });

  it("RES-05: a user of whom too many wait keeps nobody else from waiting", async () => {
    await using thing = await openThing();
    const read = async (sub: string) => {
      const token = await tokenOf(thing.shop, { sub, sid: `ses_${sub}` });
      return summaryOf(await thing.shop.get("/v1/read/tea", { Prefer: "wait=10", Authorization: `Bearer ${token}` }));
    };
    const pending = Array.from({ length: 100 }, () => read("usr_ann"));
    await thing.waits(100);
    assert.deepEqual([(await read("usr_ann")).version, (await read("usr_ann")).applied], [1, null]);
    pending.push(read("usr_bea"), thing.get("wait=10"));
    await thing.waits(102);
    thing.change();
    for (const { version, applied } of await Promise.all(pending)) assert.deepEqual([version, applied], [2, "wait=10"]);
    const again = read("usr_ann");
    await thing.waits(1);
    thing.change();
    assert.equal((await again).applied, "wait=10", "those that have ended do not count");
  });

  it("RES-03: one whose client disconnects waits no longer", async () => {
    await using thing = await openThing();
    const client = new AbortController();
    const gone = fetch(`${thing.shop.url}/v1/read/tea`, { headers: { Prefer: "wait=10" }, signal: client.signal }).catch(() => "gone");
    await thing.waits(1);
    client.abort();
    await thing.waits(0);
    assert.deepEqual([await gone, thing.reads(), thing.shop.faults], ["gone", 1, []]);
  });

  it("RES-08: stopping ends them, and they are responded to with what is there", async () => {
    await using thing = await openThing();
    const pending = Array.from({ length: 10 }, () => thing.get("wait=10"));
    await thing.waits(10);
    const stopped = thing.shop.gateway.stop();
    for (const response of await Promise.all(pending)) assert.deepEqual([response.status, response.version], [200, 1]);
    await stopped;
  });

  it("RES-03: one whose call to another process breaks reads once more, and is told that it has not waited", async () => {
    await using shop = await openTestShop({
      handlers: {
        "CheckoutService.getCheckout": async ({ checkout, wait }: GetCheckoutRequest) => {
          if (wait === undefined) return { id: checkout, status: CheckoutStatus.RUNNING };
          throw refuse({ reason: "DEPENDENCY_UNAVAILABLE", code: "unavailable", retryAfterMs: 1000 });
        },
      },
    });
    const response = await shop.get("/v1/checkouts/chk_1", { Prefer: "wait=10", Authorization: `Bearer ${await tokenOf(shop)}` });
    assert.deepEqual([response.status, response.headers.get("preference-applied")], [200, null]);
    assert.deepEqual(await response.json(), { id: "chk_1", status: "RUNNING" });
  });

  it("RES-08: one whose call to another process is cancelled by the stop reads once more", async () => {
    const waits = Promise.withResolvers<void>();
    await using shop = await openTestShop({
      handlers: {
        "CheckoutService.getCheckout": async ({ checkout, wait }: GetCheckoutRequest, { signal }) => {
          if (wait === undefined) return { id: checkout, status: CheckoutStatus.RUNNING };
          waits.resolve();
          await once(signal, "abort");
          throw refuse({ reason: "DEADLINE_EXCEEDED", code: "deadline_exceeded" });
        },
      },
    });
    const headers = {
      Prefer: "wait=10",
      "If-None-Match": '"of a checkout, which has no version"',
      Authorization: `Bearer ${await tokenOf(shop)}`,
    };
    const pending = shop.get("/v1/checkouts/chk_1", headers);
    await waits.promise;
    const stopped = shop.gateway.stop();
    assert.equal((await pending).status, 200);
    assert.deepEqual(await (await pending).json(), { id: "chk_1", status: "RUNNING" });
    await stopped;
  });
});
