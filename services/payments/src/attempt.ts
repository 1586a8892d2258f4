import { create } from "@bufbuild/protobuf";
import { AttemptCheckSchema } from "@kontor/contracts/gen/kontor/payments/v1/events_pb.js";
import type { AttemptCheck } from "@kontor/contracts/gen/kontor/payments/v1/events_pb.js";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import type { NewTask, TaskResult } from "@kontor/platform/tasks/tasks.ts";
import type { PaymentNeeds } from "./needs.ts";
import { amountOf, hear, isLive, liveAttempt, startAttempt, wrongState } from "./payment.ts";
import type { AttemptRecord, PaymentRecord } from "./payment.ts";
import { changePayment, readPayment } from "./payment-store.ts";
import type { Session } from "./provider.ts";

export const attemptCheckQueue = "check-attempt";
export const giveBackQueue = "give-attempt-back";

// A webhook that has not come by then is asked for.
const firstCheckMs = 20_000;
const checkMsMax = 3_600_000;

// How often a try that turns out to be over is followed by another within one request.
const triesMax = 3;
const refusedMs = 3_600_000;

/**
 * A try to pay, with the provider's page. A try that is under way is gone on with; while the provider cannot say how the last one ended,
 * there is no other: ATTEMPT_UNKNOWN. Refuses with PAYMENT_STATE unless the payment is open, and with PROVIDER_REFUSED when every try is
 * over as soon as it is opened.
 */
export const createAttempt =
  (needs: PaymentNeeds) =>
  async (paymentId: string, call: Call): Promise<AttemptRecord & { readonly url: string }> => {
    for (let tries = 1; tries <= triesMax; tries++) {
      call.check();
      const payment = await begin(needs, paymentId, call);
      const attempt = liveAttempt(payment)!;
      const told = await open(needs, payment, attempt, call);
      if (told.status === "open") return { ...attempt, url: told.url };
      const after = await hearOf(needs, paymentId, told, call);
      if (after.status !== "OPEN") throw wrongState(after);
      if (after.attempts.some((one) => one.id === attempt.id && isLive(one))) throw attemptUnknown();
      // That one is over: declined or closed. The shopper gets another.
    }
    throw refuse({ reason: "PROVIDER_REFUSED", code: "failed_precondition", message: "The payment provider does not take the payment" });
  };

export function attemptUnknown(): Error {
  return refuse({ reason: "ATTEMPT_UNKNOWN", code: "unavailable", message: "The provider is still at the last try", retryAfterMs: 5_000 });
}

/** Tells a payment what the provider says of one of its attempts: from a webhook, a shopper who came back, or a check. */
export function hearOf(needs: PaymentNeeds, paymentId: string, session: Session, call: Call): Promise<PaymentRecord> {
  const at = needs.clock.now();
  return changePayment(needs, paymentId, call, (payment) => {
    const decision = hear(payment, session, at);
    if (decision === undefined) return undefined;
    const { giveBack } = decision;
    return { decision, at, tasks: giveBack === undefined ? [] : [attemptTask(giveBackQueue, payment.id, giveBack, at)] };
  });
}

/** Asks the provider how the payment's live attempt stands, and takes note. */
export const completePayment =
  (needs: PaymentNeeds) =>
  async (paymentId: string, call: Call): Promise<PaymentRecord> => {
    const payment = await readPayment(needs.database, paymentId);
    const attempt = liveAttempt(payment);
    if (attempt === undefined) return payment;
    const session = await needs.provider.read(attempt.id, call.signal);
    return session === undefined ? payment : hearOf(needs, paymentId, session, call);
  };

/**
 * The task that asks after an attempt whose webhook has not come, ever more rarely, until it is decided. One that nobody needs any more,
 * because an earlier try brought the money after all, is closed at the provider.
 */
export const checkAttempt =
  (needs: PaymentNeeds) =>
  async ({ payment: id, attempt: attemptId }: AttemptCheck, call: Call): Promise<TaskResult> => {
    let payment = await completePayment(needs)(id, call);
    const stillLive = () => payment.attempts.find((one) => one.id === attemptId && isLive(one));
    if (payment.status !== "OPEN" && stillLive() !== undefined)
      payment = await hearOf(needs, id, await needs.provider.close(attemptId, call.signal), call);
    const attempt = stillLive();
    if (attempt === undefined) return {};
    const nowMs = needs.clock.now().getTime();
    const ageMs = nowMs - attempt.createdAt.getTime();
    return { again: new Date(nowMs + Math.min(Math.max(ageMs, firstCheckMs), checkMsMax)) };
  };

/** The task that gives back what came a second time. A provider that will not is asked again, seldom, while an operator is called. */
export const giveAttemptBack =
  (needs: PaymentNeeds) =>
  async ({ payment: id, attempt }: AttemptCheck, call: Call): Promise<TaskResult> => {
    const payment = await readPayment(needs.database, id);
    if (payment.amount === 0n) return {};
    const outcome = await needs.provider.refund({ key: attempt, session: attempt, amount: amountOf(payment) }, call.signal);
    if (outcome === "succeeded") return {};
    needs.log.error({ alert: "REFUND_REFUSED", call, payment: id, attempt }, "the provider refuses to give back what came a second time");
    return { again: new Date(needs.clock.now().getTime() + refusedMs) };
  };

/** The payment with a live attempt: the one that it has, or a new one. */
function begin(needs: PaymentNeeds, id: string, call: Call): Promise<PaymentRecord> {
  const at = needs.clock.now();
  const attempt = needs.ids.next("att");
  return changePayment(needs, id, call, (payment) => {
    if (payment.status === "OPEN" && liveAttempt(payment) !== undefined) return undefined;
    const decision = startAttempt(payment, { id: attempt, provider: needs.provider.name, at });
    return { decision, at, tasks: [attemptTask(attemptCheckQueue, id, attempt, new Date(at.getTime() + firstCheckMs))] };
  });
}

function open({ provider, config }: PaymentNeeds, payment: PaymentRecord, attempt: AttemptRecord, call: Call): Promise<Session> {
  const returnUrl = `${config.publicUrl}/pay/${payment.secret}/done`;
  return provider.open({ key: attempt.id, amount: amountOf(payment), reference: payment.id, returnUrl }, call.signal);
}

function attemptTask(queue: string, payment: string, attempt: string, dueAt: Date): NewTask {
  return { queue, key: attempt, payload: create(AttemptCheckSchema, { payment, attempt }), dueAt };
}
