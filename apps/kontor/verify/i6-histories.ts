import type { DescMessage } from "@bufbuild/protobuf";
import {
  OrderCancelledSchema,
  OrderCancelRequestedSchema,
  OrderCompletedSchema,
  OrderFulfilledSchema,
  OrderPaidSchema,
  OrderPlacedSchema,
  OrderReminderDueSchema,
} from "@kontor/contracts/gen/kontor/orders/v1/events_pb.js";
import { OrderStatus } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import { moneyFrom } from "@kontor/contracts/money.ts";
import { orderFacts } from "@kontor/orders/src/facts.ts";
import type { OrderHistory } from "@kontor/orders/src/facts.ts";
import { eventTypeOf } from "@kontor/platform/contract/contract.ts";
import { tryDecode } from "@kontor/platform/contract/try-decode.ts";
import type { Invariant } from "./invariant.ts";
import { pages } from "./pages.ts";

const atOnce = 500;

/** The state of an order after an event; "" before the first. */
type Step = "" | "PENDING" | "CANCELLING_UNPAID" | "PAID" | "CANCELLING" | "FULFILLED" | "COMPLETED" | "CANCELLED";

const paths: Readonly<Record<Step, ReadonlyMap<string, Step>>> = {
  "": steps([OrderPlacedSchema, "PENDING"]),
  PENDING: steps(
    [OrderReminderDueSchema, "PENDING"],
    [OrderPaidSchema, "PAID"],
    [OrderCancelRequestedSchema, "CANCELLING_UNPAID"],
    [OrderCancelledSchema, "CANCELLED"],
  ),
  CANCELLING_UNPAID: steps([OrderPaidSchema, "CANCELLING"], [OrderCancelledSchema, "CANCELLED"]),
  PAID: steps(
    [OrderCancelRequestedSchema, "CANCELLING"],
    [OrderFulfilledSchema, "FULFILLED"],
    [OrderCompletedSchema, "COMPLETED"],
    [OrderCancelledSchema, "CANCELLED"],
  ),
  CANCELLING: steps([OrderCancelledSchema, "CANCELLED"]),
  FULFILLED: steps([OrderCompletedSchema, "COMPLETED"]),
  COMPLETED: steps(),
  CANCELLED: steps(),
};
const statusAt: Readonly<Record<Step, string>> = {
  "": "VOID",
  PENDING: "PENDING",
  CANCELLING_UNPAID: "PENDING",
  PAID: "PAID",
  CANCELLING: "PAID",
  FULFILLED: "PAID",
  COMPLETED: "COMPLETED",
  CANCELLED: "CANCELLED",
};

/** What happened to an order is a legal path, and where it led is what is stored. */
export const historiesInvariant: Invariant = {
  id: "I6",
  title: "every order's history is a legal path, versions 1..n without gap, and ends in the stored state",
  counts: "orders",
  async *check(look) {
    for await (const page of pages(look.of(orderFacts).histories, ({ id }) => id, atOnce)) {
      look.looked(page.length);
      for (const order of page) {
        const problems = problemsOf(order);
        if (problems.length > 0) yield { about: order.id, text: `order ${order.id}: ${problems.join("; ")}` };
      }
    }
  },
};

function problemsOf(order: OrderHistory): string[] {
  const { status, version, events, stateOfLastEvent } = order;
  const problems: string[] = [];
  if (events.some((event, at) => event.version !== at + 1))
    problems.push(`its events have the versions ${events.map((event) => event.version).join(", ")}`);
  if (version !== events.length) problems.push(`its row is at version ${version} and it has ${events.length} events`);
  let step: Step = "";
  for (const { type } of events) {
    const next: Step | undefined = paths[step].get(type);
    if (next === undefined) return [...problems, `${type} came ${step === "" ? "first" : `when it was ${step}`}`];
    step = next;
  }
  if (statusAt[step] !== status) problems.push(`its row is ${status}, its events make it ${statusAt[step]}`);
  if (stateOfLastEvent === undefined) return problems;
  if (!stateOfLastEvent) problems.push("its stored state is another than that of its last event");
  const differing = columnsBeside(order, step);
  if (differing.length > 0) problems.push(`its state and the columns beside it differ in ${differing.join(", ")}`);
  return problems;
}

/** What is stored beside the state and does not say what the state says. */
function columnsBeside(order: OrderHistory, step: Step): string[] {
  const { state } = order;
  if (state === undefined) return ["everything: the state cannot be read"];
  const total = tryDecode(() => moneyFrom(state.total!));
  const same: Readonly<Record<string, boolean>> = {
    id: state.order === order.id,
    status: OrderStatus[state.status] === order.status,
    customer: state.customer === order.customer,
    currency: total?.currency === order.currency,
    total: total?.minor === order.totalMinor,
    payment: state.payment === order.payment,
    cancelling: state.cancelling === (step === "CANCELLING" || step === "CANCELLING_UNPAID"),
  };
  return Object.keys(same).filter((name) => same[name] === false);
}

function steps(...next: readonly (readonly [DescMessage, Step])[]): ReadonlyMap<string, Step> {
  return new Map(next.map(([schema, step]) => [eventTypeOf(schema), step]));
}
