import { AsyncResource } from "node:async_hooks";
import { after, describe, it } from "node:test";
import fc from "fast-check";
import { openModelShop } from "./model-shop.ts";
import type { ModelShop } from "./model-shop.ts";
import { commandOf, sequences } from "./order-sequences.ts";
import type { Subscriber } from "./order-steps.ts";
import { examples } from "./order-examples.ts";
import { openWorld } from "./order-world.ts";
import { endSequence } from "./run-step.ts";

const numRuns = Number(process.env["KONTOR_MODEL_SEQUENCES"] ?? 10);
const seed = process.env["KONTOR_MODEL_SEED"];
const commandsMax = 20;
// No sequence begins later; what has been found by then is shrunk no further.
const searchMs = 180_000;

// Its databases belong to the file, whatever test opens them.
const openShop = AsyncResource.bind(openModelShop);

describe("orders, whatever comes in between", () => {
  let shop: ModelShop | undefined;
  after(() => shop?.close());

  /** A sequence in a shop that others have left whole; one that breaks it leaves none. */
  const run = async (late: readonly Subscriber[], commands: Iterable<ReturnType<typeof commandOf>>): Promise<void> => {
    shop ??= await openShop();
    const { deliveries } = shop;
    try {
      const world = await openWorld(shop);
      for (const service of late) await deliveries.delay(service);
      await fc.asyncModelRun(() => ({ model: {}, real: world }), commands);
      await endSequence(world);
    } catch (error) {
      const broken = shop;
      shop = undefined;
      await broken.close();
      throw error;
    }
  };

  for (const { name, late = [], steps } of examples)
    it(name, async () => {
      await run(late, steps.map(commandOf));
    });

  const title = `ORD-04 CART-03 INV-04 PAY-06 I1 I2 I3 I4: ${numRuns} sequences of up to ${commandsMax} steps agree with the reference model`;
  it(title, { timeout: searchMs + 60_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(sequences(commandsMax), ({ late, commands }) => run(late, commands)),
      { numRuns, ...(seed !== undefined && { seed: Number(seed) }), plugins: [fc.interruptAfterTimeLimit(searchMs)] },
    );
  });
});
