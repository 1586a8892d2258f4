import { create } from "@bufbuild/protobuf";
import { AttemptCheckSchema } from "@kontor/contracts/gen/kontor/payments/v1/events_pb.js";
import type { AttemptCheck } from "@kontor/contracts/gen/kontor/payments/v1/events_pb.js";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import type { ResourceKey } from "@kontor/platform/call/resource-key.ts";
import type { NewTask, TaskResult } from "@kontor/platform/tasks/tasks.ts";
import { attemptCheckQueue, giveBackQueue } from "./channels.ts";
import type { PaymentNeeds } from "./needs.ts";
import { amountOf, applySession, expectInTime, isLive, liveAttempt, startAttempt, wrongState } from "./payment.ts";
import type { AttemptRecord, PaymentRecord } from "./payment.ts";
import type { Decide } from "./payment-batches.ts";
import type { Session } from "./provider.ts";

// When no webhook has come by then, the provider is queried.
const firstCheckMs = 20_000;
const checkMsMax = 3_600_000;

// How often an attempt that turns out to be over is followed by another within one request.
const triesMax = 3;
const refusedMs = 3_600_000;

/**
 * An attempt to pay a payment that has just been read, with the provider's page. An attempt that is under way is continued; while the provider does not report how the last one
 * ended, there is no other: ATTEMPT_UNKNOWN. A key begins one attempt: a repeat gets that one as it is, without a page when it is over. Refuses with
 * TOO_MANY_ATTEMPTS after too many declines, with PAYMENT_STATE unless the payment is open, with PROVIDER_REFUSED when every attempt is over as soon as it
 * is opened, and with IDEMPOTENCY_KEY_REUSED.
 */
export const createAttempt =
  (needs: PaymentNeeds) =>
  async (read: PaymentRecord, key: ResourceKey, call: Call): Promise<AttemptRecord & { readonly url?: string }> => {
    let after = read;
    for (let tries = 1; tries <= triesMax; tries++) {
      call.check();
      expectInTime(after, needs.clock.now());
      const { payment, attempt, isRepeat } = await begin(needs, after, { key, mayRepeat: tries === 1 }, call);
      if (!isLive(attempt)) return attempt;
      const session = await open(needs, payment, attempt, call);
      if (session.status === "open") return { ...attempt, url: session.url };
      after = await recordSession(needs, payment.id, session, call);
      const ended = after.attempts.find(({ id }) => id === attempt.id)!;
      if (isRepeat && !isLive(ended)) return ended;
      if (after.status !== "OPEN") throw wrongState(after);
      if (isLive(ended)) throw attemptUnknown();
      // That one is over: declined or closed. The shopper gets another.
    }
    throw refuse({ reason: "PROVIDER_REFUSED", code: "failed_precondition", message: "The payment provider does not take the payment" });
  };

export function attemptUnknown(): Error {
  return refuse({
    reason: "ATTEMPT_UNKNOWN",
    code: "unavailable",
    message: "The provider is still processing the last attempt",
    retryAfterMs: 5_000,
  });
}

/** Records what the provider reports of one of a payment's attempts: by a webhook, to a shopper who came back, or to a check. */
export async function recordSession(needs: PaymentNeeds, paymentId: string, session: Session, call: Call): Promise<PaymentRecord> {
  const at = needs.clock.now();
  let declines = false;
  const decide: Decide = (payment) => {
    const decision = applySession(payment, session, at);
    declines = decision !== undefined && session.status === "declined";
    if (decision === undefined) return undefined;
    const { giveBack } = decision;
    return { decision, at, tasks: giveBack === undefined ? [] : [attemptTask(giveBackQueue.name, payment.id, giveBack, at)] };
  };
  const payment = await needs.payments.change(paymentId, decide, call);
  if (declines) {
    const { origin } = payment.attempts.find(({ id }) => id === session.key)!; // it was declined just now
    await needs.declines.count({ customer: payment.customer, origin });
  }
  return payment;
}

/** Reads the state of the payment's live attempt from the provider, and records it. */
export const completePayment =
  (needs: PaymentNeeds) =>
  async (payment: PaymentRecord, call: Call): Promise<PaymentRecord> => {
    const attempt = liveAttempt(payment);
    if (attempt === undefined) return payment;
    const session = await needs.provider.read(attempt.id, call.signal);
    return session === undefined ? payment : recordSession(needs, payment.id, session, call);
  };

/**
 * The task that queries an attempt whose webhook has not come, ever more rarely, until it is decided. One that nobody needs any more,
 * because an earlier attempt brought the money after all, is closed at the provider.
 */
export const checkAttempt =
  (needs: PaymentNeeds) =>
  async ({ payment: id, attempt: attemptId }: AttemptCheck, call: Call): Promise<TaskResult> => {
    let payment = await completePayment(needs)(await needs.payments.read(id, call), call);
    const stillLive = () => payment.attempts.find((one) => one.id === attemptId && isLive(one));
    if (payment.status !== "OPEN" && stillLive() !== undefined)
      payment = await recordSession(needs, id, await needs.provider.close(attemptId, call.signal), call);
    const attempt = stillLive();
    if (attempt === undefined) return {};
    const nowMs = needs.clock.now().getTime();
    const ageMs = nowMs - attempt.createdAt.getTime();
    return { again: new Date(nowMs + Math.min(Math.max(ageMs, firstCheckMs), checkMsMax)) };
  };

/** The task that returns what was paid a second time. When the provider refuses, it is tried again hourly, and an operator is alerted. */
export const giveAttemptBack =
  (needs: PaymentNeeds) =>
  async ({ payment: id, attempt }: AttemptCheck, call: Call): Promise<TaskResult> => {
    const payment = await needs.payments.read(id, call);
    if (payment.amount === 0n) return {};
    const outcome = await needs.provider.refund({ key: attempt, session: attempt, amount: amountOf(payment) }, call.signal);
    if (outcome === "succeeded") return {};
    needs.log.error({ alert: "REFUND_REFUSED", call, payment: id, attempt }, "the provider refuses to return what was paid a second time");
    return { again: new Date(needs.clock.now().getTime() + refusedMs) };
  };

/** The payment with the attempt that the key began, or else with a live one: the one that it has, or a new one. */
async function begin(
  needs: PaymentNeeds,
  read: PaymentRecord,
  { key, mayRepeat }: { readonly key: ResourceKey; readonly mayRepeat: boolean },
  call: Call,
): Promise<{ readonly payment: PaymentRecord; readonly attempt: AttemptRecord; readonly isRepeat: boolean }> {
  const { id, customer } = read;
  const { origin } = call;
  const at = needs.clock.now();
  const attempt = needs.ids.next("att");
  const begun = ({ attempts }: PaymentRecord) => (mayRepeat ? attempts.findLast((one) => key.is(one.key)) : undefined);
  if (read.status === "OPEN" && begun(read) === undefined && liveAttempt(read) === undefined)
    await needs.declines.expectAttempt({ customer, origin });
  const decide: Decide = (payment) => {
    if (begun(payment) !== undefined || (payment.status === "OPEN" && liveAttempt(payment) !== undefined)) return undefined;
    const decision = startAttempt(payment, { id: attempt, provider: needs.provider.name, key: key.toStore, origin, at });
    return { decision, at, tasks: [attemptTask(attemptCheckQueue.name, id, attempt, new Date(at.getTime() + firstCheckMs))] };
  };
  const payment = await needs.payments.change(id, decide, call, read);
  const own = begun(payment);
  return { payment, attempt: own ?? liveAttempt(payment)!, isRepeat: own !== undefined && own.id !== attempt };
}

function open({ provider, config }: PaymentNeeds, payment: PaymentRecord, attempt: AttemptRecord, call: Call): Promise<Session> {
  const returnUrl = `${config.publicUrl}/pay/${payment.secret}/done`;
  return provider.open({ key: attempt.id, amount: amountOf(payment), reference: payment.id, returnUrl }, call.signal);
}

function attemptTask(queue: string, payment: string, attempt: string, dueAt: Date): NewTask {
  return { queue, key: attempt, payload: create(AttemptCheckSchema, { payment, attempt }), dueAt };
}
