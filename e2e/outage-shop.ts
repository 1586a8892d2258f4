import assert from "node:assert/strict";
import { performance } from "node:perf_hooks";
import { after } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { controlEngine } from "@kontor/platform/testing/engines.ts";
import { asOperator } from "./operator.ts";
import { startShop } from "./shop-process.ts";
import type { ShopProcess } from "./shop-process.ts";
import type { Shopper } from "./shopper.ts";
import { assertDurable, orderAndPay } from "./acknowledged.ts";
import type { AcknowledgedOrder } from "./acknowledged.ts";
import type { Topology } from "./topologies.ts";

/** A shop with goods, and shoppers who are signed in. */
export interface OutageShop {
  readonly shop: ShopProcess;
  readonly shoppers: readonly Shopper[];
  readonly sku: string;
}

/** How many shoppers order at the same time: 4 by default. */
const shoppersCount = Number(process.env["KONTOR_SHOPPERS"] ?? 4);

/** Opens a shop in which something is to be hurt. */
export async function openOutageShop(topology: Topology, env: Readonly<Record<string, string>> = {}): Promise<OutageShop> {
  const shop = await startShop(env, topology);
  return asOperator(shop.environment, async (operator) => {
    const shoppers = await operator.shoppers(shop, shoppersCount);
    const [sku] = (await operator.products([1_000_000])) as [string];
    return { shop, shoppers, sku };
  });
}

/** Brings engines back after the tests of this file, whatever has become of these. Call it before the shop is started, which needs them to be cleared away. */
export function restartAfterTests(...engines: readonly string[]): void {
  after(async () => {
    for (const engine of engines) await controlEngine("start", engine);
  });
}

/** Shoppers who order and pay, one order after the other, also while something is away. */
export interface Traffic {
  readonly acknowledged: ReadonlyMap<Shopper, readonly AcknowledgedOrder[]>;
  /** How many orders were acknowledged so far. */
  readonly placed: number;
  /** How many of them were paid at the provider. */
  readonly paid: number;
  /** What was not answered as it should be, counted by what was answered instead. Empty, or the scenario says which are to be expected. */
  readonly refused: ReadonlyMap<string, number>;
  /** Waits until so many more orders are acknowledged than now, and gives how many milliseconds that took. Throws when it takes longer. */
  more(orders: number, withinMs: number): Promise<number>;
  /** Lets them finish what they are at. Throws what one of them has met that `mayFail` does not allow. */
  stop(): Promise<void>;
}

export interface TrafficOptions extends OutageShop {
  /** Whether this answer, or undefined for a connection that broke, may come now; none may without it. What then became of the order is unknown. */
  readonly mayFail?: (status: number | undefined) => boolean;
}

/** Between two orders of a shopper, and after one that was refused: shoppers are no benchmark. */
const [betweenMs, afterRefusalMs] = [20, 100];

export function startTraffic({ shoppers, sku, mayFail = () => false }: TrafficOptions): Traffic {
  const acknowledged = new Map<Shopper, AcknowledgedOrder[]>(shoppers.map((shopper) => [shopper, []]));
  const refused = new Map<string, number>();
  const count = (which: (acknowledged: AcknowledgedOrder) => boolean): number =>
    [...acknowledged.values()].reduce((sum, attempts) => sum + attempts.filter(which).length, 0);
  let going = true;
  let failure: { readonly error: unknown } | undefined;

  const shop = async (shopper: Shopper): Promise<void> => {
    while (going && failure === undefined) {
      let waitMs = betweenMs;
      try {
        await orderAndPay(shopper, sku, acknowledged.get(shopper)!);
      } catch (error) {
        const status = answerIn(error);
        if (status === "none" || !mayFail(status)) failure ??= { error };
        const what = status === undefined ? "connection broke" : (error as Error).message;
        const kind = what.replaceAll(/\b[a-z]{3}_[0-9a-z]{20,}\b/g, "…").replaceAll(/"(detail|instance|trace)[^,}]*[,}]/g, "");
        refused.set(kind, (refused.get(kind) ?? 0) + 1);
        waitMs = afterRefusalMs;
      }
      await pause(waitMs);
    }
  };
  const rounds = Promise.all(shoppers.map(shop));
  const traffic: Traffic = {
    acknowledged,
    refused,
    get placed() {
      return count(({ order }) => order !== undefined);
    },
    get paid() {
      return count(({ paid }) => paid);
    },
    async more(orders, withinMs) {
      const startMs = performance.now();
      for (const goal = traffic.placed + orders; traffic.placed < goal; await pause(5)) {
        if (failure !== undefined) throw failure.error;
        if (performance.now() - startMs > withinMs)
          throw new Error(`${traffic.placed} of ${goal} orders after ${withinMs} ms; refused: ${JSON.stringify([...refused])}`);
      }
      return Math.round(performance.now() - startMs);
    },
    async stop() {
      going = false;
      await rounds;
      if (failure !== undefined) throw failure.error;
    },
  };
  return traffic;
}

/** The status of an answer that was another than expected; undefined for a connection that broke. */
function answerIn(error: unknown): number | undefined | "none" {
  if (error instanceof TypeError) return undefined;
  if (error instanceof assert.AssertionError && typeof error.actual === "number") return error.actual;
  return "none";
}

/**
 * The shop has recovered: what it has confirmed to its shoppers is so, each paid order has its one confirmation mail, there are no dead letters, and every
 * invariant holds. `mailsWithinMs` is in how long the last confirmation must have come.
 */
export async function assertHealthy(shop: ShopProcess, { acknowledged }: Traffic, mailsWithinMs = 20_000): Promise<void> {
  await assertDurable(acknowledged);
  await Promise.all(
    Array.from(acknowledged, ([shopper, attempts]) => confirmations(shopper, attempts.filter(({ paid }) => paid).length, mailsWithinMs)),
  );
  await assertConsistent(shop);
}

/** There are no dead letters, and every invariant holds. */
export async function assertConsistent(shop: ShopProcess): Promise<void> {
  assert.equal((await shop.run(["tasks", "list"])).output, "No task is dead.\n");
  assert.equal((await shop.run(["parked", "list"])).output, "Nothing is parked.\n");
  const { code, output } = await shop.run(["verify"]);
  assert.equal(code, 0, output);
}

/** Waits until so many orders of a shopper's are confirmed by mail; no more may be. */
async function confirmations(shopper: Shopper, count: number, mailsWithinMs: number): Promise<void> {
  const query = new URLSearchParams({ to: shopper.email, query: "is paid", total: "true", limit: "1" });
  const deadlineMs = performance.now() + mailsWithinMs;
  for (;;) {
    const { body } = await shopper.expect(200, "GET", `${shopper.places.mailbox}/api/v1/messages?${String(query)}`);
    if (body.total >= count || performance.now() > deadlineMs) return assert.equal(body.total, count, `confirmations to ${shopper.email}`);
    await pause(50);
  }
}
