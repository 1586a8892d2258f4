import { before, describe, it } from "node:test";
import { controlEngine } from "@kontor/platform/testing/engines.ts";
import { assertRoutes, fillHands } from "./outage-routes.ts";
import type { Outcome, Route } from "./outage-routes.ts";
import { assertConsistent, restartAfterTests, openOutageShop } from "./outage-shop.ts";
import type { OutageShop } from "./outage-shop.ts";
import { onServers } from "./topologies.ts";

/** Which of the routes do not work as ever while an engine is off. */
const table: Readonly<Record<string, Partial<Record<Route, Outcome>>>> = {
  redis: {},
  // The database answers in its place.
  opensearch: {},
  // Not refused: only found later by whoever waits for an event.
  kafka: { mail: "late" },
  rabbitmq: { mail: "late" },
  // It keeps the carts.
  mongodb: { cart: "refused", checkout: "refused" },
  "postgres-replica": {},
};
/** "stop" freezes the engines instead: they take connections and do not answer. */
const how = process.env["KONTOR_OUTAGE"] === "stop" ? "stop" : "kill";

describe(`degradation: one engine after the other is ${how === "stop" ? "frozen" : "killed"}`, () => {
  let open: OutageShop;

  restartAfterTests(...Object.keys(table));
  before(async () => {
    open = await openOutageShop(onServers);
  });

  for (const [engine, expected] of Object.entries(table)) {
    const others = Object.entries(expected).map(([route, outcome]) => `${route} ${outcome}`);
    it(
      `RES-06 RES-04: without ${engine} ${others.length === 0 ? "everything works" : `${others.join(", ")}, and the rest works`}`,
      { timeout: 90_000 },
      async (t) => {
        const hands = await fillHands(open);
        await controlEngine(how, engine);
        let afterwards: () => Promise<void>;
        try {
          afterwards = await assertRoutes(hands, expected, (text) => t.diagnostic(text));
        } finally {
          await controlEngine(how === "stop" ? "cont" : "start", engine);
        }
        await afterwards();
      },
    );
  }

  it("every invariant holds", async () => assertConsistent(open.shop));
});
