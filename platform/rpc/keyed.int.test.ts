import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { Allow, Idempotency } from "@kontor/contracts/gen/kontor/api/v1/options_pb.js";
import { LineSchema, ThingSchema } from "@kontor/contracts/gen/kontor/testing/v1/testing_pb.js";
import { rootCall } from "../call/call.ts";
import type { Call } from "../call/call.ts";
import { systemClock } from "../clock/clock.ts";
import type { KeyStore } from "../database/idempotency.ts";
import { idempotencyMigrations, migrate } from "../database/migrate.ts";
import { openTestDatabase } from "../database/open-test-database.ts";
import { refuse } from "../errors/refusal.ts";
import type { Logger } from "../telemetry/logger.ts";
import { describeService } from "./describe-service.ts";
import { createInProcessRpc } from "./in-process.ts";
import { keyed, keyedSteps, ownKey } from "./keyed.ts";
import { implement } from "./rpc.ts";
import type { Handler, Rpc } from "./rpc.ts";

const silent = () => undefined;
const log: Logger = { debug: silent, info: silent, warn: silent, error: silent, child: () => log };

const buyWith = (idempotency: Idempotency) =>
  describeService("kontor.testing.v1.BuyService", {
    buy: { input: LineSchema, output: ThingSchema, allow: [Allow.INTERNAL], rest: { idempotency } },
  });
const BuyService = buyWith(Idempotency.HONOURED);
type Buy = Handler<(typeof BuyService)["method"]["buy"]>;

let store: KeyStore;

before(async () => {
  const { database } = await openTestDatabase();
  await migrate(database, [idempotencyMigrations]);
  store = { database, clock: systemClock };
});

function serve(buy: Buy, idempotency = Idempotency.HONOURED, stored: KeyStore | undefined = store): Rpc {
  const rpc = createInProcessRpc({ log });
  rpc.serve("shop", [implement(buyWith(idempotency), { buy })], stored);
  return rpc;
}

/** Buys as another service does, under a key. */
function buyer(buy: Buy) {
  const client = serve(buy).clientsFor("orders").of("shop", BuyService);
  return (idempotencyKey: string | undefined, sku = "tea") => client.buy({ sku, quantity: 1 }, callOf(idempotencyKey));
}

const callOf = (idempotencyKey: string | undefined): Call =>
  rootCall({ caller: "orders", timeoutMs: 10_000, ...(idempotencyKey !== undefined && { idempotencyKey }) });

describe("a method that honours an idempotency key", () => {
  it("is not served by a handler that does not, nor any other by one that does", () => {
    const plain: Buy = async () => ({});
    const honouring: readonly Buy[] = [
      keyed(async () => ({})),
      keyedSteps(
        async () => undefined,
        async () => ({}),
      ),
      ownKey(async () => ({})),
    ];
    for (const idempotency of [Idempotency.HONOURED, Idempotency.REQUIRED]) {
      assert.throws(() => serve(plain, idempotency), /contract of kontor\.testing\.v1\.BuyService\.Buy honours/);
      for (const buy of honouring) serve(buy, idempotency);
    }
    for (const idempotency of [Idempotency.NONE, Idempotency.NATURAL, Idempotency.NATURAL_KEY_REQUIRED]) {
      serve(plain, idempotency);
      for (const buy of honouring) assert.throws(() => serve(buy, idempotency), /handler of kontor\.testing\.v1\.BuyService\.Buy honours/);
    }
  });

  it("is not served without a store for its replies", () => {
    const rpc = createInProcessRpc({ log });
    assert.throws(() => rpc.serve("shop", [implement(BuyService, { buy: keyed(async () => ({})) })]), /BuyService\.Buy stores its replies/);
  });

  it("does its work once, and what precedes a reply before each", async () => {
    let worked = 0;
    const replied: string[] = [];
    const buy = buyer(
      keyed(async ({ sku }) => ({ id: sku, version: ++worked }), {
        beforeReply: async ({ id, version }) => void replied.push(`${id} ${version}`),
      }),
    );
    for (const _ of [1, 2]) assert.equal((await buy("once")).version, 1);
    await assert.rejects(buy("once", "coffee"), { reason: "IDEMPOTENCY_KEY_REUSED" });
    for (const version of [2, 3]) assert.equal((await buy(undefined)).version, version);
    assert.deepEqual(replied, ["tea 1", "tea 1", "tea 2", "tea 3"]);
  });

  it("in steps: none is done for a key that has its reply or belongs to another request; a decided refusal is a reply", async () => {
    const done: string[] = [];
    const buy = buyer(
      keyedSteps(
        async ({ sku }) => {
          done.push(sku);
          if (sku === "sold out") throw refuse({ reason: "OUT_OF_STOCK", code: "failed_precondition" });
        },
        async ({ sku }) => ({ id: sku, version: done.length }),
      ),
    );
    for (const _ of [1, 2]) assert.equal((await buy("steps")).version, 1);
    await assert.rejects(buy("steps", "coffee"), { reason: "IDEMPOTENCY_KEY_REUSED" });
    for (const _ of [1, 2]) await assert.rejects(buy("refused", "sold out"), { reason: "OUT_OF_STOCK" });
    assert.deepEqual(done, ["tea", "sold out"]);
  });

  it("in steps: an outcome that is unknown is not stored, so that a repeat goes on", async () => {
    let reachable = false;
    const buy = buyer(
      keyedSteps(
        async () => {
          if (!reachable) throw refuse({ reason: "DEPENDENCY_UNAVAILABLE", code: "unavailable" });
        },
        async () => ({ id: "bought" }),
      ),
    );
    await assert.rejects(buy("later"), { reason: "DEPENDENCY_UNAVAILABLE" });
    reachable = true;
    assert.equal((await buy("later")).id, "bought");
  });
});
