import { sql } from "@kontor/platform/database/sql.ts";
import type { Invariant } from "./invariant.ts";

const ageMsMax = 30_000;

interface Live {
  readonly id: string;
  readonly status: string;
  readonly created_at: Date;
}

/** A checkout does not hang. How long one may take is judged only while a shop runs: without one nobody goes on with it. */
export const terminalInvariant: Invariant = {
  id: "I11",
  title: "no checkout is under way for more than 30 seconds",
  counts: "checkouts under way",
  async *check(look) {
    const live = await look.of("checkout").rows<Live>(sql`
      select id, status, created_at from sagas where status in ('RUNNING', 'UNDOING') order by created_at limit 10000`);
    look.looked(live.length);
    if (!look.running) {
      if (live.length > 0) look.note(`${live.length} checkouts wait for the shop to start`);
      return;
    }
    for (const { id, status, created_at } of live) {
      const ageMs = look.now.getTime() - created_at.getTime();
      if (ageMs > ageMsMax) yield { about: id, text: `checkout ${id} is ${status} since ${Math.round(ageMs / 1000)} s` };
    }
  },
};
