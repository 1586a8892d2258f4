import { fileURLToPath } from "node:url";
import { startChild } from "./child.ts";
import type { Child } from "./child.ts";
import { mainOf, startCheckout, until } from "./checkout-under-test.ts";
import type { CheckoutShop } from "./checkout-under-test.ts";
import { percentile } from "./figures.ts";
import type { Figures } from "./figures.ts";
import type { GetsDone, Load, OrdersDone } from "./load.ts";
import { cpuSeconds } from "./processes.ts";
import { pairedRatios } from "./ratios.ts";
import type { Spread } from "./ratios.ts";

/** What a turn measures, in the units of the names. */
export interface TurnFigures {
  readonly orders_per_s: number;
  readonly order_p50_ms: number;
  /** Undefined where the platform does not show other processes' CPU time. */
  readonly order_cpu_ms: number | undefined;
  readonly product_reads_per_s: number;
  readonly product_lists_per_s: number;
}

export interface AgainstOptions {
  /** The other checkout's folder. */
  readonly root: string;
  readonly turns: number;
  readonly shoppers: number;
  /** How long the orders of a turn last. */
  readonly seconds: number;
  /** How long the reads and the lists of a turn last, each. */
  readonly readSeconds: number;
  readonly products: number;
  readonly figures: Figures;
  readonly signal?: AbortSignal;
}

const thisRoot = fileURLToPath(new URL("..", import.meta.url));

/**
 * Runs this checkout and another one turn by turn, each on fresh data with the same load client, and prints the ratios of this one's figures to
 * the other's, pair by pair. Throws when a shop does not start or responds to a request in another way than expected.
 */
export async function measureAgainst(options: AgainstOptions): Promise<ReadonlyMap<keyof TurnFigures, Spread>> {
  mainOf(options.root); // before this checkout's turn, which would have been for nothing
  const pairs: { readonly ours: TurnFigures; readonly theirs: TurnFigures }[] = [];
  const load = await startChild<Load>("./load.ts");
  const turn = async (name: string, root: string): Promise<TurnFigures> => {
    options.signal?.throwIfAborted();
    const figures = await measureTurn(load, root, options);
    const texts = Object.entries(figures).map(([figure, value]) => `${figure} ${value === undefined ? "-" : value.toPrecision(4)}`);
    console.log(`turn ${pairs.length + 1}, ${name.padEnd(5)}: ${texts.join(", ")}`);
    return figures;
  };
  try {
    while (pairs.length < options.turns) pairs.push({ ours: await turn("this", thisRoot), theirs: await turn("other", options.root) });
  } finally {
    load.kill();
    await load.ended;
  }
  const ratios = new Map<keyof TurnFigures, Spread>();
  for (const name of Object.keys(pairs[0]!.ours) as (keyof TurnFigures)[]) {
    const [ours, theirs] = [pairs.map((pair) => pair.ours[name]), pairs.map((pair) => pair.theirs[name])];
    if (!isMeasured(ours) || !isMeasured(theirs)) {
      console.log(`${name} is left out: this platform does not show it`);
      continue;
    }
    const spread = pairedRatios(ours, theirs);
    ratios.set(name, spread);
    options.figures.add(`${name}_to_other`, spread.median, `of the other's (${spread.min.toFixed(3)} to ${spread.max.toFixed(3)})`);
  }
  return ratios;
}

function isMeasured(values: readonly (number | undefined)[]): values is readonly number[] {
  return values.every((value) => value !== undefined);
}

async function measureTurn(load: Child<Load>, root: string, options: AgainstOptions): Promise<TurnFigures> {
  const { products, seconds, readSeconds, shoppers, signal } = options;
  const shop = await startCheckout({ root, products, shoppers, ...(signal && { signal }) });
  try {
    const ordered = await measureOrders(load, shop, { products, seconds });
    const reads = async (paths: readonly string[]): Promise<number> => {
      const run = { run: "gets", api: shop.api, connections: shoppers, paths } as const;
      await load.tell({ ...run, seconds: readSeconds / 4 });
      return (await load.tell<GetsDone>({ ...run, seconds: readSeconds })).perSecond;
    };
    return {
      ...ordered,
      product_reads_per_s: await reads(Array.from({ length: products }, (_, at) => `/v1/products/bench-${(at * 7919) % products}`)),
      product_lists_per_s: await reads(["/v1/products?limit=20"]),
    };
  } finally {
    await shop.stop();
  }
}

async function measureOrders(
  load: Child<Load>,
  shop: CheckoutShop,
  { products, seconds }: { readonly products: number; readonly seconds: number },
) {
  const { api, accounts } = shop;
  /** Until every order has its confirmation mail, the last thing that it causes. */
  const orders = async (length: number): Promise<OrdersDone> => {
    const mails = await shop.mails();
    const done = await load.tell<OrdersDone>({ run: "orders", api, accounts, seconds: length, products });
    await until("the orders' confirmation mails", async () => ((await shop.mails()) >= mails + done.orders ? true : undefined));
    return done;
  };
  await orders(Math.min(3, seconds));
  const cpu = () => (process.platform === "linux" ? cpuSeconds(shop.pids) : undefined);
  const before = cpu();
  const done = await orders(seconds);
  const after = cpu();
  return {
    orders_per_s: done.orders / done.seconds,
    order_p50_ms: percentile(done.latenciesMs, 0.5),
    order_cpu_ms: before === undefined || after === undefined ? undefined : ((after - before) * 1000) / done.orders,
  };
}
