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
import { sql } from "@kontor/platform/database/sql.ts";
import { eventTypeOf } from "@kontor/platform/contract/contract.ts";
import { firstField } from "./first-field.ts";
import type { Invariant } from "./invariant.ts";
import { stateOf } from "./order-rows.ts";
import type { OrderRow } from "./order-rows.ts";
import { pages } from "./pages.ts";
import { readable } from "./read-event.ts";

const atOnce = 500;

/** Where an order stands after an event; "" before the first. */
type Step = "" | "PENDING" | "PAID" | "CANCELLING" | "FULFILLED" | "COMPLETED" | "CANCELLED";

const paths: Readonly<Record<Step, ReadonlyMap<string, Step>>> = {
  "": steps([OrderPlacedSchema, "PENDING"]),
  PENDING: steps([OrderReminderDueSchema, "PENDING"], [OrderPaidSchema, "PAID"], [OrderCancelledSchema, "CANCELLED"]),
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
  PAID: "PAID",
  CANCELLING: "PAID",
  FULFILLED: "PAID",
  COMPLETED: "COMPLETED",
  CANCELLED: "CANCELLED",
};

interface History extends OrderRow {
  readonly state: Uint8Array;
  /** Null for a tombstone. */
  readonly versions: readonly number[] | null;
  readonly types: readonly string[] | null;
  readonly last: Uint8Array | null;
}

/** What happened to an order is a legal path, and where it led is what is stored. */
export const historiesInvariant: Invariant = {
  id: "I6",
  title: "every order's history is a legal path, versions 1..n without gap, and ends in the stored state",
  counts: "orders",
  async *check(look) {
    const read = (after: string, limit: number) =>
      look.of("orders").rows<History>(sql`
        select o.*, e.versions, e.types, last.data as last
        from (select id, version, status, customer, currency, total, payment, state from orders where id > ${after} order by id limit ${limit}) o
        left join lateral (
          select array_agg(version order by version) as versions, array_agg(type order by version) as types from events where stream = o.id
        ) e on true
        left join lateral (select data from events where stream = o.id order by version desc limit 1) last on true
        order by o.id`);
    for await (const page of pages(read, ({ id }) => id, atOnce)) {
      look.looked(page.length);
      for (const order of page) {
        const problems = problemsOf(order);
        if (problems.length > 0) yield { about: order.id, text: `order ${order.id}: ${problems.join("; ")}` };
      }
    }
  },
};

function problemsOf(order: History): string[] {
  const { status, version, versions, types, last, state } = order;
  const problems: string[] = [];
  if (versions?.some((one, at) => one !== at + 1)) problems.push(`its events have the versions ${versions.join(", ")}`);
  if (version !== (versions?.length ?? 0)) problems.push(`its row is at version ${version} and it has ${versions?.length ?? 0} events`);
  let step: Step = "";
  for (const type of types ?? []) {
    const next: Step | undefined = paths[step].get(type);
    if (next === undefined) return [...problems, `${type} came ${step === "" ? "first" : `when it was ${step}`}`];
    step = next;
  }
  if (statusAt[step] !== status) problems.push(`its row is ${status}, its events make it ${statusAt[step]}`);
  if (last === null) return problems;
  if (!Buffer.from(state).equals(firstField(last) ?? Buffer.alloc(0)))
    problems.push("its stored state is another than that of its last event");
  const differing = columnsBeside(order, step);
  if (differing.length > 0) problems.push(`its state and the columns beside it differ in ${differing.join(", ")}`);
  return problems;
}

/** The columns that do not say what the state says. */
function columnsBeside(order: History, step: Step): string[] {
  const state = stateOf(order);
  if (state === undefined) return ["everything: the state cannot be read"];
  const total = readable(() => moneyFrom(state.total!));
  const same: Readonly<Record<string, boolean>> = {
    id: state.order === order.id,
    status: OrderStatus[state.status] === order.status,
    customer: state.customer === order.customer,
    currency: total?.currency === order.currency,
    total: total?.minor === order.total,
    payment: state.payment === order.payment,
    cancelling: state.cancelling === (step === "CANCELLING"),
  };
  return Object.keys(same).filter((name) => same[name] === false);
}

function steps(...next: readonly (readonly [DescMessage, Step])[]): ReadonlyMap<string, Step> {
  return new Map(next.map(([schema, step]) => [eventTypeOf(schema), step]));
}
