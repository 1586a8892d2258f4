import type { Account } from "./compose-shop.ts";
import { startChild } from "./child.ts";
import { percentile } from "./figures.ts";
import type { Figures } from "./figures.ts";
import { hostileKinds } from "./hostile-kinds.ts";
import type { Hostile, HostileDone } from "./hostile-kinds.ts";
import type { OrdersDone } from "./load.ts";
import type { MeasuredShop } from "./open-measured-shop.ts";
import { ratio } from "./ratios.ts";

/** How many connections the hostile caller keeps busy. */
const connections = 32;
const warmSeconds = 2;
const shoppersCount = 4;

/**
 * How long the orders of a few shoppers take while one caller does the same thing as fast as he can, from another address, compared with their orders
 * just before. All of them have to succeed: anything else ends the run.
 */
export async function measureHostile(
  { shop, load, api, products }: MeasuredShop,
  { seconds, figures }: { readonly seconds: number; readonly figures: Figures },
): Promise<void> {
  const accounts = await shop.tell<Account[]>({ do: "shoppers", count: shoppersCount + hostileKinds.length });
  const shoppers = accounts.slice(0, shoppersCount);
  const hostile = await startChild<Hostile>("./hostile.ts");
  const orders = async (length: number) => {
    const { latenciesMs } = await load.tell<OrdersDone>({ run: "orders", api, accounts: shoppers, seconds: length, products });
    return percentile(latenciesMs, 0.99);
  };
  try {
    for (const [nth, kind] of hostileKinds.entries()) {
      const account = accounts[shoppersCount + nth]!;
      const name = `hostile_${kind.replaceAll(/[ -]/g, "_")}`;
      await orders(warmSeconds);
      const alone = await orders(seconds);
      const attacking = hostile.tell<HostileDone>({ run: "hostile", kind, api, connections, seconds: seconds + 2, account, products });
      const beside = await orders(seconds);
      const { requests, refused } = await attacking;
      await shop.tell({ do: "settle" });
      figures.add(`${name}_requests`, requests, `requests, ${refused} refused`);
      figures.add(`${name}_order_p99_ms`, beside, "ms");
      figures.add(`${name}_order_p99_to_alone`, ratio(beside, alone), "of the p99 without it");
    }
  } finally {
    hostile.kill();
    await hostile.ended;
  }
}
