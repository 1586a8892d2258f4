import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, it } from "node:test";
import { Allow } from "@kontor/contracts/gen/kontor/api/v1/options_pb.js";
import { LineSchema, ReadThingSchema, ThingSchema } from "@kontor/contracts/gen/kontor/testing/v1/testing_pb.js";
import type { Cache } from "@kontor/platform/cache/cache.ts";
import { createMemoryCache } from "@kontor/platform/cache/memory.ts";
import { createUnsharedCache } from "@kontor/platform/cache/unshared.ts";
import { createChanges } from "@kontor/platform/changes/changes.ts";
import { messageEnvelope } from "@kontor/platform/rpc/connect/envelope.ts";
import { describeService } from "@kontor/platform/rpc/describe-service.ts";
import { implement } from "@kontor/platform/rpc/rpc.ts";
import { sessionKey } from "@kontor/platform/rpc/session-state.ts";
import { waiting } from "@kontor/platform/rpc/waiting.ts";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";
import { problemIn } from "../test-problem.ts";
import { openTestShop, tokenOf } from "../test-shop.ts";

const http = (value: string) => ({ pattern: { case: "get", value } }) as const;
const WatchService = describeService("kontor.testing.v1.WatchService", {
  watch: { input: LineSchema, output: ThingSchema, allow: [Allow.AUTHENTICATED], streams: true, http: http("/v1/watch") },
  read: { input: ReadThingSchema, output: ThingSchema, allow: [Allow.AUTHENTICATED], rest: { wait: "wait" }, http: http("/v1/read/{sku}") },
});
const silent = () => undefined;
const log: Logger = { debug: silent, info: silent, warn: silent, error: silent, child: () => log };

/** One thing whose version is watched and waited for, and two sessions. */
async function open(cache: Cache | undefined) {
  const sessions = new Set(["ses_1", "ses_2"]);
  const changed = new EventTarget();
  const changes = createChanges({ versionsOf: async () => [], log });
  let version = 1;
  let waits = 0;
  const route = implement(WatchService, {
    async *watch(_, { signal }) {
      for (let sent = 0; !signal.aborted;) {
        if (sent < version) yield { id: String((sent = version)) };
        else await Promise.race([once(changed, "change"), once(signal, "abort")]);
      }
    },
    read: waiting({
      read: async () => ({ id: "tea", version }),
      isPending: () => true,
      watch: ({ sku }) => {
        waits++;
        changed.dispatchEvent(new Event("wait"));
        return changes.watch(sku);
      },
    }),
  });
  const shop = await openTestShop({
    more: (rpc) => rpc.serve("watch", [route]),
    handlers: {
      "IdentityService.checkSessions": async ({ sessions: checked }: { sessions: string[] }) => ({
        live: checked.filter((session) => sessions.has(session)),
      }),
    },
    gateway: { sessionLeaseMs: 60_000, ...(cache && { cache }) },
  });
  const headersOf = async (sid: string) => ({ Authorization: `Bearer ${await tokenOf(shop, { sid })}` });
  return {
    shop,
    headersOf,
    watch: async (sid: string) => {
      const response = await shop.get("/v1/watch?sku=tea&quantity=1", await headersOf(sid));
      assert.equal(response.status, 200);
      return response.body!.pipeThrough(new TextDecoderStream()).getReader();
    },
    /** Resolves when it waits. */
    wait: async (sid: string) => {
      const before = waits;
      const response = shop.get("/v1/read/tea", { ...(await headersOf(sid)), Prefer: "wait=10" });
      while (waits === before) await once(changed, "wait");
      return { response };
    },
    change: () => {
      version++;
      changed.dispatchEvent(new Event("change"));
      changes.announce(["tea"]);
    },
    /** As identity does it. */
    end: async (session: string) => {
      sessions.delete(session);
      await cache?.set(sessionKey(session), "ended", 600_000);
    },
    [Symbol.asyncDispose]: () => shop[Symbol.asyncDispose](),
  };
}

async function restOf(reader: ReadableStreamDefaultReader<string>): Promise<string> {
  let text = "";
  for (let next = await reader.read(); !next.done; next = await reader.read()) text += next.value;
  return text;
}

const topologies: [name: string, cache: () => Cache | undefined][] = [
  ["one process", () => createMemoryCache({ maxEntries: 100 })],
  ["several processes without a shared cache", () => createUnsharedCache(createMemoryCache({ maxEntries: 100 }))],
  ["no cache", () => undefined],
];

for (const [name, cache] of topologies)
  describe(`gateway: what is open when its session ends: ${name}`, { concurrency: true }, () => {
    it("S11, ORD-06: a stream ends with its session, says why, and delivers nothing that happens afterwards; another session's goes on", async () => {
      await using app = await open(cache());
      const [one, other] = [await app.watch("ses_1"), await app.watch("ses_2")];
      for (const reader of [one, other]) assert.match((await reader.read()).value!, /"id":"1"/);
      await app.end("ses_1");
      app.change();
      assert.match((await other.read()).value!, /"id":"2"/);
      const rest = await restOf(one);
      assert.match(rest, /^event: problem\ndata: .*"reason":"UNAUTHENTICATED"/m);
      assert.doesNotMatch(rest, /"id":"2"/);
      await other.cancel();
    });

    it("S11, ORD-06: an idle stream ends too, over Connect with its error", async () => {
      await using app = await open(cache());
      const rest = app.watch("ses_1").then(restOf);
      const connect = fetch(`${app.shop.url}/${WatchService.typeName}/Watch`, {
        method: "POST",
        headers: { ...(await app.headersOf("ses_1")), "Content-Type": "application/connect+json" },
        body: messageEnvelope('{"sku":"tea","quantity":1}'),
      });
      assert.equal((await connect).status, 200);
      await app.end("ses_1");
      assert.match(await rest, /"reason":"UNAUTHENTICATED"/);
      assert.match(await (await connect).text(), /"code":"unauthenticated"/);
    });

    it("S11, ORD-06: a wait that began before delivers nothing afterwards, whether there is a change or none", async () => {
      await using app = await open(cache());
      const { response: other } = await app.wait("ses_2");
      const { response: changed } = await app.wait("ses_1");
      await app.end("ses_1");
      app.change();
      await problemIn(await changed, 401, "UNAUTHENTICATED");
      assert.equal((await other).status, 200);
      const { response: idle } = await app.wait("ses_2");
      await app.end("ses_2");
      await problemIn(await idle, 401, "UNAUTHENTICATED");
    });

    it("S11, RES-08: a wait that ends because the gateway stops is not read for a session that has ended", async () => {
      await using app = await open(cache());
      const { response } = await app.wait("ses_1");
      await app.end("ses_1");
      const stopping = app.shop.gateway.stop();
      await problemIn(await response, 401, "UNAUTHENTICATED");
      await stopping;
    });
  });
