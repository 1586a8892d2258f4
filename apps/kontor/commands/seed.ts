import { readArgs } from "./command.ts";
import type { Command } from "./command.ts";
import { withApp } from "./app/with-app.ts";

export const seed: Command = {
  name: "seed",
  summary: "import the demo catalogue",
  usage: `Usage: kontor seed

The goods of a small trading company: coffee, tea, spices, linen, ceramics. kontor start does this in an empty shop. It can be repeated:
products are reset to the demo's, stock stays as it is.`,
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
