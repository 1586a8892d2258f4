import { readArgs } from "./command.ts";
import type { Command } from "./command.ts";
import { withApp } from "./app/with-app.ts";

export const seed: Command = {
  name: "seed",
  summary: "put the demo catalogue into the shop",
  usage: `Usage: kontor seed

The goods of a small trading app: coffee, tea, spices, linen, ceramics. kontor start does it by itself on an empty shop. Again is fine:
products get back to what they were, stock stays as it is.`,
  async run(args, context) {
    readArgs(args, {});
    const { seedDemo } = await import("../demo/seed-demo.ts");
    const { created, updated, unchanged, booked } = await withApp(context, (app) => seedDemo(app.clientsFor("kontor")));
    context.stdout.write(
      `Demo products: ${created} created, ${updated} updated, ${unchanged} unchanged; stock booked for ${booked} SKUs.\n`,
    );
    return 0;
  },
};
