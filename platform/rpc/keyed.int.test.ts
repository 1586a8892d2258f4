import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { Allow, Idempotency } from "@kontor/contracts/gen/kontor/api/v1/options_pb.js";
import {
  LineSchema,
  PublishThingRequestSchema,
  RawThingResponseSchema,
  ThingSchema,
} from "@kontor/contracts/gen/kontor/testing/v1/testing_pb.js";
import { rootCall } from "../call/call.ts";
import type { Call } from "../call/call.ts";
import { systemClock } from "../clock/clock.ts";
import type { StoredKey } from "../call/resource-key.ts";
import { contractOf } from "../contract/contract.ts";
import type { KeyStore } from "../database/idempotency.ts";
import { idempotencyMigrations, migrate } from "../database/migrate.ts";
import { sql } from "../database/sql.ts";
import { openTestDatabase } from "../database/open-test-database.ts";
import { refuse } from "../errors/refusal.ts";
import type { Logger } from "../telemetry/logger.ts";
import { describeService } from "./describe-service.ts";
import { createInProcessRpc } from "./in-process.ts";
import { keyed, keyedDecision, keyedPerResource, ownKey } from "./keyed.ts";
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
function buyer(buy: Buy, idempotency = Idempotency.HONOURED) {
  const client = serve(buy, idempotency).clientsFor("orders").of("shop", BuyService);
  return (idempotencyKey: string | undefined, sku = "tea") => client.buy({ sku, quantity: 1 }, callOf(idempotencyKey));
}

const callOf = (idempotencyKey: string | undefined): Call =>
  rootCall({ caller: "orders", timeoutMs: 10_000, ...(idempotencyKey !== undefined && { idempotencyKey }) });

describe("a method that honours an idempotency key", () => {
  it("is not served by a handler that does not, nor any other by one that does", () => {
    const plain: Buy = async () => ({});
    const honouring: readonly Buy[] = [
      keyed(async () => ({})),
      keyedDecision(
        async () => ({}),
        async () => ({}),
      ),
      ownKey(async () => ({})),
    ];
    const perResource = keyedPerResource<object, object>(async () => ({}));
    for (const idempotency of [Idempotency.PER_RESOURCE, Idempotency.PER_RESOURCE_REQUIRED]) {
      serve(perResource, idempotency);
      for (const buy of [plain, ...honouring])
        assert.throws(() => serve(buy, idempotency), /BuyService\.Buy stores an Idempotency-Key with/);
    }
    for (const idempotency of [Idempotency.HONOURED, Idempotency.REQUIRED]) {
      assert.throws(() => serve(plain, idempotency), /contract of kontor\.testing\.v1\.BuyService\.Buy honours/);
      assert.throws(() => serve(perResource, idempotency), /contract of kontor\.testing\.v1\.BuyService\.Buy honours/);
      for (const buy of honouring) serve(buy, idempotency);
    }
    for (const idempotency of [Idempotency.NONE, Idempotency.NATURAL]) {
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

  it("an effect with a part in other services: decided and claimed first, then carried out, once and for the right request alone", async () => {
    const done: string[] = [];
    const buy = buyer(
      keyedDecision(
        async ({ sku }) => {
          if (sku === "sold out") throw refuse({ reason: "OUT_OF_STOCK", code: "failed_precondition" });
          return { id: sku, version: 1 };
        },
        async ({ id, version }) => {
          done.push(id);
          return { id, version: version + 1 };
        },
      ),
    );
    const both = await Promise.allSettled([buy("decision"), buy("decision", "coffee"), buy("decision")]);
    assert.deepEqual(
      both.map((one) => (one.status === "fulfilled" ? one.value.version : (one.reason as { reason: string }).reason)),
      [2, "IDEMPOTENCY_KEY_REUSED", 2],
    );
    for (const _ of [1, 2]) await assert.rejects(buy("refused", "sold out"), { reason: "OUT_OF_STOCK" });
    assert.deepEqual(done, ["tea"]);
  });

  it("a key that is stored with its resource: a repeat is known by it, another request is refused", async () => {
    const stored: StoredKey[] = [];
    const buy = buyer(
      keyedPerResource(async ({ sku }, _, key) => {
        if (!key.isIn(stored) && key.toStore !== undefined) stored.push(key.toStore);
        return { id: sku, version: stored.length };
      }),
      Idempotency.PER_RESOURCE,
    );
    for (const [key, version] of [
      ["one", 1],
      ["one", 1],
      ["two", 2],
      ["one", 2],
      [undefined, 2],
    ] as const)
      // prettier-ignore
      assert.equal((await buy(key)).version, version);
    await assert.rejects(buy("one", "coffee"), { reason: "IDEMPOTENCY_KEY_REUSED" });
    assert.equal(stored.length, 2);
  });

  it("one that does not look for the key that came is a fault", async () => {
    const buy = buyer(
      keyedPerResource(async ({ sku }) => ({ id: sku })),
      Idempotency.PER_RESOURCE,
    );
    await buy(undefined);
    await assert.rejects(buy("ignored"), { reason: "INTERNAL_ERROR" });
  });
});

describe("a method whose request names a version", () => {
  const ChangeService = describeService("kontor.testing.v1.ChangeService", {
    change: { input: PublishThingRequestSchema, output: ThingSchema, allow: [Allow.INTERNAL], rest: { idempotency: Idempotency.HONOURED } },
  });
  type Change = Handler<(typeof ChangeService)["method"]["change"]>;
  const changer = (change: Change) => {
    const rpc = createInProcessRpc({ log });
    rpc.serve("shop", [implement(ChangeService, { change })], store);
    const client = rpc.clientsFor("orders").of("shop", ChangeService);
    return (version: number | undefined) => client.change({ ...(version !== undefined && { version }) }, callOf(undefined));
  };

  it("a command that names one and compares it with nothing is a fault, and has no effect", async () => {
    const { database } = store;
    await database.run(sql`create table changes (at int)`);
    const change = changer(
      keyed(async (_, _call, tx, seen) => {
        await tx.run(sql`insert into changes values (1)`);
        const { count } = await tx.one<{ count: number }>(sql`select count(*)::int as count from changes`);
        if (count > 1) seen.expect("thing", { version: 7 });
        return {};
      }),
    );
    const changes = async () => (await database.one<{ count: number }>(sql`select count(*)::int as count from changes`)).count;
    await assert.rejects(change(7), { reason: "INTERNAL_ERROR" });
    assert.equal(await changes(), 0);
    await change(undefined);
    await change(7);
    await assert.rejects(change(6), { reason: "VERSION_CONFLICT", details: { version: 7 } });
    assert.equal(await changes(), 2);
  });

  it("its contract must honour keys", () => {
    for (const idempotency of [Idempotency.NONE, Idempotency.NATURAL]) {
      const service = describeService("kontor.testing.v1.ChangeService", {
        change: { input: PublishThingRequestSchema, output: ThingSchema, allow: [Allow.INTERNAL], rest: { idempotency } },
      });
      assert.throws(() => contractOf(service.method.change), /names a version: its contract must honour/);
    }
  });
});

describe("a contract that clients reach", () => {
  const contractWith = (path: string, idempotency: Idempotency) =>
    contractOf(
      describeService("kontor.testing.v1.PostService", {
        post: {
          input: RawThingResponseSchema,
          output: ThingSchema,
          allow: [Allow.AUTHENTICATED],
          http: { pattern: { case: "post", value: path } },
          rest: { idempotency },
        },
      }).method.post,
    );

  it("needs no key only where the path is the whole request", () => {
    assert.throws(() => contractWith("/v1/pages/{page}", Idempotency.NATURAL), /path .* is not its whole request/);
    assert.equal(contractWith("/v1/pages/{page}/{content_type}/{url}", Idempotency.NATURAL).keys, "unneeded");
    assert.equal(contractWith("/v1/pages/{page}", Idempotency.NONE).keys, "refused");
  });
});
