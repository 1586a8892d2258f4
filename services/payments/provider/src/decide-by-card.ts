import type { Clock } from "@kontor/platform/clock/clock.ts";
import type { Database } from "@kontor/platform/database/database.ts";
import type { Ids } from "@kontor/platform/ids/ids.ts";
import type { EntryIds } from "./ledger.ts";
import type { Scheduler } from "./scheduler.ts";
import type { FaultScript } from "./faults.ts";
import type { SessionBatches } from "./session-batches.ts";
import { settlingSessions } from "./session-store.ts";
import type { Decision, SessionRow, Undecided } from "./session-store.ts";
import type { Outcome } from "./test-cards.ts";
import type { WebhookSender } from "./webhook-sender.ts";

/** How long things take, in milliseconds. */
export interface Delays {
  /** The time-out card: how long its page waits for a response, and how long after that it is declined. */
  readonly timeoutMs: number;
  /** The late-approval card: how long until it is approved. */
  readonly approvalMs: number;
  /** The same card: how long its page waits for a response. */
  readonly approvalPageMs: number;
}

export const usualDelays: Delays = { timeoutMs: 30_000, approvalMs: 10_000, approvalPageMs: 0 };

export interface DecideNeeds {
  readonly database: Database;
  readonly sessions: SessionBatches;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly charges: EntryIds;
  readonly webhooks: WebhookSender;
  readonly faults: FaultScript;
  readonly settling: Scheduler;
  readonly delays: Delays;
}

type Verdict = Pick<Decision, "status" | "declineCode" | "settles"> & { readonly webhooks: number };

/** Decides by a card. Gives the session as it then is, or undefined when the page has no open session. */
export async function decideByCard(
  needs: DecideNeeds,
  page: string,
  card: { readonly outcome: Outcome; readonly last4: string },
): Promise<SessionRow | undefined> {
  const at = needs.clock.now();
  const verdict = verdictOf(card.outcome, needs.delays, at);
  const decided = await decide(needs, "open", { ...verdict, of: page, last4: card.last4 }, at);
  if (decided !== undefined && verdict.settles !== undefined) needs.settling.wakeAt(verdict.settles.at);
  return decided;
}

function verdictOf(outcome: Outcome, { timeoutMs, approvalMs }: Delays, at: Date): Verdict {
  switch (outcome.kind) {
    case "approve":
      return { status: "succeeded", declineCode: "", webhooks: outcome.webhooks };
    case "decline":
      return { status: "declined", declineCode: outcome.code, webhooks: 1 };
    case "timeout":
      return {
        status: "processing",
        declineCode: "",
        webhooks: 1,
        settles: { at: new Date(at.getTime() + 2 * timeoutMs), to: "declined" },
      };
    case "late-approval":
      return { status: "processing", declineCode: "", webhooks: 1, settles: { at: new Date(at.getTime() + approvalMs), to: "succeeded" } };
  }
}

/** Decides the sessions whose processing is over, together. Gives the time of the next. Throws when one could not be decided, having tried all. */
export async function settleSessions(needs: DecideNeeds): Promise<Date | undefined> {
  const now = needs.clock.now();
  const processing = await settlingSessions(needs.database, 100);
  const due = processing.filter(({ at }) => at <= now);
  const settled = await Promise.allSettled(
    due.map(({ key, to }) => {
      const verdict = { status: to, declineCode: to === "declined" ? "timeout" : "", webhooks: 1 };
      return decide(needs, "processing", { ...verdict, of: key }, now);
    }),
  );
  for (const outcome of settled) if (outcome.status === "rejected") throw outcome.reason;
  // Perhaps there are more.
  return (processing[due.length] ?? (await settlingSessions(needs.database, 1))[0])?.at;
}

async function decide(
  needs: DecideNeeds,
  undecided: Undecided,
  verdict: Verdict & Pick<Decision, "of" | "last4">,
  at: Date,
): Promise<SessionRow | undefined> {
  const { sessions, ids, charges, webhooks, faults } = needs;
  const times = verdict.status === "processing" ? 1 : (faults.drawWebhookTimes() ?? verdict.webhooks);
  const webhook = { id: ids.next("evt"), times };
  webhooks.hold(webhook.id);
  let decided: SessionRow | undefined;
  try {
    decided = await charges.use((chargeId) => sessions.decide(undecided, { ...verdict, chargeId, webhook, at }));
  } catch (error) {
    webhooks.release(webhook.id, { uncertain: true });
    throw error;
  }
  if (decided === undefined || decided.status === "processing") webhooks.release(webhook.id, { uncertain: false });
  else webhooks.offer({ ...webhook, type: `session.${decided.status}`, at, attempts: 0, session: decided });
  return decided;
}
