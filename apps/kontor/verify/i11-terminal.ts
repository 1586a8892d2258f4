import { checkoutFacts } from "@kontor/checkout/src/facts.ts";
import type { Invariant } from "./invariant.ts";

const ageMsMax = 30_000;

/** A checkout does not hang. How long one may take is judged only while a shop runs: without one nobody goes on with it. */
export const terminalInvariant: Invariant = {
  id: "I11",
  title: "no checkout is under way for more than 30 seconds",
  counts: "checkouts under way",
  async *check(look) {
    const live = await look.of(checkoutFacts).underWay(10_000);
    look.looked(live.length);
    if (!look.running) {
      if (live.length > 0) look.note(`${live.length} checkouts wait for the shop to start`);
      return;
    }
    for (const { id, status, createdAt } of live) {
      const ageMs = look.now.getTime() - createdAt.getTime();
      if (ageMs > ageMsMax) yield { about: id, text: `checkout ${id} is ${status} since ${Math.round(ageMs / 1000)} s` };
    }
  },
};
