import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { TestContext } from "node:test";
import { CatalogService } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import type { Product } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import { contracts } from "@kontor/contracts/registry.ts";
import type { Cache } from "@kontor/platform/cache/cache.ts";
import type { Connection } from "@kontor/platform/database/connection.ts";
import { compile } from "@kontor/platform/database/sql.ts";
import type { Sql } from "@kontor/platform/database/sql.ts";
import { testDatabase } from "@kontor/platform/testing/postgres.ts";
import { openTestReplica } from "@kontor/platform/testing/test-replica.ts";
import { testCall } from "@kontor/platform/testing/test-services.ts";
import { catalog } from "./service.ts";
import { shopper, simple } from "./test-catalog.ts";

export interface ReplicasContract {
  /** The caches of two processes. */
  readonly open: () => Promise<readonly [Cache, Cache]>;
  /** Whether they cache anything. */
  readonly caches: boolean;
}

/** What must hold for two replicas of the catalogue on one database, whichever caches they have. */
export function replicasContract(name: string, { open, caches }: ReplicasContract): void {
  describe(`catalog: two replicas with ${name}`, { concurrency: 2 }, () => {
    it("CAT-08: a second read runs no statement, in the other replica neither; after a change none shows the old price", async (context) => {
      const [one, other] = await openReplicas(await open());
      const { id: product, handle } = await one.create();
      const statements = counted(context, [one, other]);
      const prices = async () => {
        const read: (string | undefined)[] = [];
        for (const { get, list } of [one, other])
          read.push(priceOf(await get(product)), priceOf(await get(handle)), priceOf((await list())[0]));
        return read;
      };
      for (const price of ["20.00", "21.00", "22.00"]) {
        await (price === "21.00" ? other : one).reprice(product, price);
        assert.deepEqual(
          await prices(),
          Array.from({ length: 6 }, () => price),
        );
        const before = statements();
        await prices();
        if (caches) assert.equal(statements(), before);
      }
    });

    it("CAT-08: what one replica was reading while the other changed it is left behind in none", async (context) => {
      const [one, other] = await openReplicas(await open());
      const { id: product, handle } = await one.create();
      const { database } = one.hosted;
      const held = Promise.withResolvers<void>();
      const read = Promise.withResolvers<void>();
      let loads = 0;
      const slow = async <T>(query: Sql, loading: Promise<T>): Promise<T> => {
        const loaded = await loading;
        if (!compile(query).text.includes("from products")) return loaded;
        if (++loads === 3) read.resolve();
        await held.promise;
        return loaded;
      };
      const [maybe, rows] = [database.maybe.bind(database), database.rows.bind(database)];
      context.mock.method(database, "maybe", (query: Sql) => slow(query, maybe(query)));
      context.mock.method(database, "rows", (query: Sql) => slow(query, rows(query)));
      const early = Promise.all([one.get(product), one.get(handle), one.list()]);
      await read.promise;
      context.mock.restoreAll();
      await other.reprice(product, "5.00");
      assert.equal(priceOf(await other.get(product)), "5.00");
      held.resolve();
      const [byId, byHandle, [listed]] = await early;
      for (const seen of [byId, byHandle, listed]) assert.ok(["19.99", "5.00"].includes(priceOf(seen)!));
      for (const { get, list } of [one, other, one, other])
        assert.deepEqual([priceOf(await get(product)), priceOf(await get(handle)), priceOf((await list())[0])], ["5.00", "5.00", "5.00"]);
    });

    it("CAT-08: nobody reads a price that is older than one whose change was confirmed before, by whichever replica", async () => {
      const replicas = await openReplicas(await open());
      const { id: product, handle } = await replicas[0].create();
      let confirmed = 0;
      let writing = true;
      const read = async (take: () => Promise<Product | undefined>): Promise<void> => {
        while (writing) {
          const before = confirmed;
          const price = Number(priceOf(await take()));
          assert.ok(price >= before, `${price} after ${before}`);
          await new Promise((resolve) => setImmediate(resolve));
        }
      };
      const readers = replicas.flatMap(({ get, list }) => [
        read(() => get(product)),
        read(() => get(handle)),
        read(async () => (await list())[0]),
      ]);
      const write = async (): Promise<void> => {
        for (let price = 20; price < 60; price++) {
          await replicas[price % 2]!.reprice(product, `${price}.00`);
          confirmed = price;
        }
      };
      await Promise.all([write().finally(() => (writing = false)), ...readers]);
    });

    it("CAT-08: a handle that goes from one product to another leads to the one that has it, in both", async () => {
      const replicas = await openReplicas(await open());
      const [best, second] = [await replicas[0].create("best"), await replicas[0].create("second")];
      for (const { get } of replicas) assert.equal((await get("best")).id, best.id);
      await replicas[1].rename(best.id, "former");
      await replicas[0].rename(second.id, "best");
      for (const { get } of replicas) assert.deepEqual([(await get("best")).id, (await get("former")).id], [second.id, best.id]);
    });
  });
}

type Replica = Awaited<ReturnType<typeof openReplica>>;

async function openReplicas(caches: readonly [Cache, Cache]): Promise<readonly [Replica, Replica]> {
  const { connection } = await testDatabase();
  return [await openReplica(connection, caches[0]), await openReplica(connection, caches[1])];
}

async function openReplica(connection: Connection, cache: Cache) {
  const { hosted, clientsFor } = await openTestReplica(catalog, { registry: contracts, connection, cache });
  const edge = clientsFor("gateway").of("catalog", CatalogService);
  const admin = () => testCall({ caller: "gateway", user: { id: "usr_admin", roles: ["admin"] } });
  return {
    hosted,
    create: (handle = "shirt") => edge.createProduct(simple(handle, { handle }), admin()),
    get: (product: string) => edge.getProduct({ product }, shopper()),
    list: async () => (await edge.listProducts({}, shopper())).items,
    reprice: (product: string, amount: string) =>
      edge.updateProduct(
        { product, updateMask: { paths: ["variants"] }, variants: [{ sku: "shirt", price: { currency: "EUR", amount } }] },
        admin(),
      ),
    rename: (product: string, handle: string) => edge.updateProduct({ product, updateMask: { paths: ["handle"] }, handle }, admin()),
  };
}

function priceOf(product: Product | undefined): string | undefined {
  return product?.variants[0]?.price?.amount;
}

/** Counts the statements that the replicas send. */
function counted(context: TestContext, replicas: readonly Replica[]): () => number {
  const mocks = replicas.flatMap(({ hosted: { database } }) => [
    context.mock.method(database, "rows"),
    context.mock.method(database, "maybe"),
    context.mock.method(database, "one"),
    context.mock.method(database, "transaction"),
  ]);
  return () => mocks.reduce((sum, { mock }) => sum + mock.callCount(), 0);
}
