import { paymentFacts } from "@kontor/payments/src/facts.ts";
import type { AttemptFact, PaymentFact, PaymentWork } from "@kontor/payments/src/facts.ts";
import { providerFacts } from "@kontor/payments/provider/src/facts.ts";
import type { ChargeFact, ProviderRefundFact } from "@kontor/payments/provider/src/facts.ts";
import type { Breach, Look } from "./invariant.ts";
import { byId, pages } from "./pages.ts";
import { entriesOf, throughBuiltin } from "./provider-entries.ts";

const atOnce = 1_000;

/** Compares our attempts and refunds with the provider's charges and refunds, both ways. */
export async function* compareWithProvider(look: Look): AsyncGenerator<Breach> {
  if (!look.databases.has("provider")) {
    look.note("the provider's ledger is not here: only payments were looked at");
    return;
  }
  yield* oursAtTheProvider(look);
  yield* chargesUnknownToUs(look);
  yield* refundsUnknownToUs(look);
}

interface Suspect extends Breach {
  /** The task that will put it right, and what of: with it, the thing is under way. */
  readonly task?: readonly [PaymentWork, string];
}

async function* oursAtTheProvider(look: Look): AsyncGenerator<Breach> {
  let elsewhere = 0;
  let underWay = 0;
  for await (const page of pages(look.of(paymentFacts).payments, ({ id }) => id, atOnce)) {
    const { charges, refunds } = await entriesOf(look, page);
    const suspects: Suspect[] = [];
    for (const payment of page) {
      const succeeded = payment.attempts.filter(({ status }) => status === "SUCCEEDED").length;
      // Where there was nothing to pay, nobody has tried.
      const due = payment.amountMinor > 0n && (payment.status === "CAPTURED" || payment.status === "REFUNDED") ? 1 : 0;
      if (succeeded !== due)
        suspects.push({
          about: payment.id,
          text: `payment ${payment.id} is ${payment.status} and has ${succeeded} attempts that succeeded`,
        });
      elsewhere += payment.attempts.filter((attempt) => !throughBuiltin(attempt)).length;
      for (const attempt of payment.attempts)
        if (throughBuiltin(attempt))
          suspects.push(...suspectAttempts(payment, attempt, charges.get(attempt.id)?.[0], refunds.get(attempt.id) ?? []));
      if (payment.attempts.every(throughBuiltin))
        suspects.push(
          ...suspectRefunds(
            payment,
            payment.attempts.flatMap(({ id }) => refunds.get(id) ?? []),
          ),
        );
    }
    const toBeDone = new Set<string>();
    for (const work of ["check", "return", "refund"] as const) {
      const ids = suspects.flatMap(({ task }) => (task?.[0] === work ? [task[1]] : []));
      for (const id of await look.of(paymentFacts).toBeDone(work, ids)) toBeDone.add(`${work} ${id}`);
    }
    for (const { about, text, task } of suspects)
      if (task !== undefined && toBeDone.has(task.join(" "))) underWay++;
      else yield { about, text };
  }
  if (underWay > 0) look.note(`${underWay} attempts or refunds are not settled with the provider yet; each has a task that will`);
  if (elsewhere > 0) look.note(`${elsewhere} attempts were at another provider, whose ledger is not here`);
}

function suspectAttempts(
  payment: PaymentFact,
  { id, status }: AttemptFact,
  charge: ChargeFact | undefined,
  refunds: readonly ProviderRefundFact[],
): Suspect[] {
  const about = id;
  const attempt = `attempt ${id} of payment ${payment.id} is ${status}`;
  const wrong: Suspect[] =
    charge !== undefined && charge.reference !== payment.id
      ? [{ about, text: `the charge ${charge.id} of attempt ${id} is for ${charge.reference}, not for payment ${payment.id}` }]
      : [];
  switch (status) {
    case "SUCCEEDED":
      return charge === undefined ? [{ about, text: `${attempt}, and the provider has no charge` }] : wrong;
    case "RETURNED":
      if (charge === undefined) return [{ about, text: `${attempt}, and the provider has no charge` }];
      if (refunds.some((refund) => refund.key === id && refund.status === "succeeded")) return wrong;
      return [...wrong, { about, text: `${attempt}, and the provider has not given it back`, task: ["return", id] }];
    case "WAITING":
      return charge === undefined
        ? wrong
        : [...wrong, { about, text: `${attempt}, but the provider has the charge ${charge.id}`, task: ["check", id] }];
    case "DECLINED":
    case "ABANDONED":
      return charge === undefined ? wrong : [...wrong, { about, text: `${attempt}, but the provider has the charge ${charge.id}` }];
  }
}

function suspectRefunds(payment: PaymentFact, booked: readonly ProviderRefundFact[]): Suspect[] {
  const byKey = new Map(booked.map((refund) => [refund.key, refund]));
  return payment.refunds.flatMap(({ id, status }): Suspect[] => {
    const there = byKey.get(id)?.status;
    const refund = { about: id, text: `refund ${id} of payment ${payment.id} is ${status}, and at the provider ${there ?? "not there"}` };
    switch (status) {
      case "REFUND_DONE":
        return there === "succeeded" ? [] : [refund];
      case "REFUND_FAILED":
        return there === "failed" ? [] : [refund];
      case "REFUND_PENDING":
        return [{ ...refund, task: ["refund", id] }];
    }
  });
}

async function* chargesUnknownToUs(look: Look): AsyncGenerator<Breach> {
  for await (const page of pages(look.of(providerFacts).charges, ({ id }) => id, atOnce)) {
    const payments = await referenced(look, page);
    for (const { id, session, reference } of page)
      if (!payments.get(reference)?.attempts.some((attempt) => attempt.id === session))
        yield { about: id, text: `the provider's charge ${id} is for attempt ${session} of payment ${reference}, which we do not know` };
  }
}

async function* refundsUnknownToUs(look: Look): AsyncGenerator<Breach> {
  for await (const page of pages(look.of(providerFacts).refunds, ({ id }) => id, atOnce)) {
    const payments = await referenced(look, page);
    for (const { id, key, reference } of page) {
      const payment = payments.get(reference);
      const known =
        payment?.refunds.some((refund) => refund.id === key) ||
        payment?.attempts.some((attempt) => attempt.id === key && attempt.status === "RETURNED");
      if (!known) yield { about: id, text: `the provider's refund ${id} is for ${key} of payment ${reference}, which we do not know` };
    }
  }
}

async function referenced(look: Look, page: readonly ChargeFact[]): Promise<Map<string, PaymentFact>> {
  return byId(await look.of(paymentFacts).paymentsByIds(page.map(({ reference }) => reference)));
}
