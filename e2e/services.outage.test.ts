import { before, describe, it } from "node:test";
import { assertRoutes, fillHands } from "./outage-routes.ts";
import type { Outcome, Route } from "./outage-routes.ts";
import { assertConsistent, openOutageShop } from "./outage-shop.ts";
import type { OutageShop } from "./outage-shop.ts";
import { clusterOnServers } from "./topologies.ts";

/** Which of the routes do not work as ever while a service is gone. */
const table: Readonly<Record<string, Partial<Record<Route, Outcome>>>> = {
  inventory: { checkout: "refused" },
  payments: { checkout: "late", pay: "refused" },
  // Who is signed in stays so. Mails wait because only identity knows the addresses.
  identity: { login: "refused", mail: "late" },
  notifications: { mail: "late" },
};

describe("degradation: one service after the other is killed and stays down", () => {
  let open: OutageShop;

  before(
    async () => {
      open = await openOutageShop(clusterOnServers(1));
    },
    { timeout: 180_000 },
  );

  for (const [service, expected] of Object.entries(table)) {
    const others = Object.entries(expected).map(([route, outcome]) => `${route} ${outcome}`);
    it(`RES-06: without ${service} ${others.join(", ")}, and the rest works`, { timeout: 90_000 }, async (t) => {
      const { shop } = open;
      const hands = await fillHands(open);
      // Whoever would start it again sleeps meanwhile.
      process.kill(shop.pid, "SIGSTOP");
      const again = shop.killOne(`${service}-1`);
      let afterwards: () => Promise<void>;
      try {
        afterwards = await assertRoutes(hands, expected, (text) => t.diagnostic(text));
      } finally {
        process.kill(shop.pid, "SIGCONT");
        await again;
      }
      await afterwards();
    });
  }

  it("every invariant holds", { timeout: 90_000 }, async () => assertConsistent(open.shop));
});
