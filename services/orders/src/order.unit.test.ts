import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { OrderState } from "@kontor/contracts/gen/kontor/orders/v1/events_pb.js";
import { CreateOrderRequestSchema, FulfilmentSchema, OrderStatus } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import { Refusal } from "@kontor/platform/errors/refusal.ts";
import fc from "fast-check";
import { cancel, complete, fulfil, pay, place, remind, requestCancel, then } from "./order.ts";
import type { By, CancelCause, Decision } from "./order.ts";

const at = new Date("2026-03-02T09:00:00Z");
const by: By = { actor: "usr_1", at };
const line = (quantity: number, price: string, total: string) => ({
  sku: `sku-${price}`,
  product: "prd_1",
  title: "Thing",
  quantity,
  unitPrice: { currency: "EUR", amount: price },
  total: { currency: "EUR", amount: total },
});
const request = (lines = [line(2, "10.00", "20.00")]) =>
  create(CreateOrderRequestSchema, { order: "ord_1", customer: "usr_1", lines, payment: "pay_1", paymentSecret: "s", cart: "c" });
const fulfilment = create(FulfilmentSchema, { id: "ful_1", carrier: "DHL", tracking: "1" });

const must = (decision: Decision | undefined): OrderState => {
  assert.ok(decision !== undefined);
  return decision.state;
};
const pending = place(request(), by).state;
const paid = must(pay(pending, by));
const cancelling = must(requestCancel(paid));
const states = {
  PENDING: pending,
  "PENDING, cancelling": must(requestCancel(pending)),
  PAID: paid,
  "PAID, cancelling": cancelling,
  "COMPLETED by fulfilment": fulfil(paid, fulfilment, by).state,
  "COMPLETED by its day": must(complete(paid, by)),
  "CANCELLED unpaid": must(cancel(pending, "EXPIRED", by)),
  "CANCELLED refunded": must(cancel(cancelling, "CUSTOMER", by)),
} as const;
type State = keyof typeof states;

const commands = {
  pay: (order: OrderState) => pay(order, by),
  remind: (order: OrderState) => remind(order, 4),
  requestCancel: (order: OrderState) => requestCancel(order),
  cancel: (order: OrderState) => cancel(order, "CUSTOMER", by),
  "cancel, refunded": (order: OrderState) => cancel(order, "REFUNDED", by),
  fulfil: (order: OrderState) => fulfil(order, fulfilment, by),
  complete: (order: OrderState) => complete(order, by),
} as const;
type Command = keyof typeof commands;

/** "-": nothing happens. "ORDER_STATE": refused. "fault": it must not come to this. */
const matrix: Record<State, Record<Command, string>> = {
  PENDING: {
    pay: "PAID",
    remind: "PENDING",
    requestCancel: "PENDING",
    cancel: "CANCELLED",
    "cancel, refunded": "CANCELLED",
    fulfil: "ORDER_STATE",
    complete: "-",
  },
  "PENDING, cancelling": {
    pay: "PAID",
    remind: "-",
    requestCancel: "-",
    cancel: "CANCELLED",
    "cancel, refunded": "CANCELLED",
    fulfil: "ORDER_STATE",
    complete: "-",
  },
  PAID: {
    pay: "-",
    remind: "-",
    requestCancel: "PAID",
    cancel: "ORDER_STATE",
    "cancel, refunded": "CANCELLED",
    fulfil: "COMPLETED",
    complete: "COMPLETED",
  },
  "PAID, cancelling": {
    pay: "-",
    remind: "-",
    requestCancel: "-",
    cancel: "CANCELLED",
    "cancel, refunded": "CANCELLED",
    fulfil: "ORDER_STATE",
    complete: "-",
  },
  "COMPLETED by fulfilment": {
    pay: "-",
    remind: "-",
    requestCancel: "ORDER_STATE",
    cancel: "ORDER_STATE",
    "cancel, refunded": "ORDER_STATE",
    fulfil: "ORDER_STATE",
    complete: "-",
  },
  "COMPLETED by its day": {
    pay: "-",
    remind: "-",
    requestCancel: "ORDER_STATE",
    cancel: "ORDER_STATE",
    "cancel, refunded": "ORDER_STATE",
    fulfil: "ORDER_STATE",
    complete: "-",
  },
  "CANCELLED unpaid": {
    pay: "fault",
    remind: "-",
    requestCancel: "ORDER_STATE",
    cancel: "-",
    "cancel, refunded": "-",
    fulfil: "ORDER_STATE",
    complete: "-",
  },
  "CANCELLED refunded": {
    pay: "-",
    remind: "-",
    requestCancel: "ORDER_STATE",
    cancel: "-",
    "cancel, refunded": "-",
    fulfil: "ORDER_STATE",
    complete: "-",
  },
};

function outcome(order: OrderState, command: Command): string {
  try {
    const decision = commands[command](order);
    return decision === undefined ? "-" : OrderStatus[decision.state.status];
  } catch (error) {
    return error instanceof Refusal ? error.reason : "fault";
  }
}

describe("order", () => {
  it("ORD-01: a new order is PENDING, its total is the sum of its lines, and it expires after 24 hours", () => {
    const { state, events } = place(request([line(2, "10.00", "20.00"), line(3, "0.99", "2.97")]), by);
    assert.equal(state.status, OrderStatus.PENDING);
    assert.equal(state.total?.amount, "22.97");
    assert.equal(timestampDate(state.expiresAt!).getTime(), at.getTime() + 24 * 3_600_000);
    assert.equal(events.length, 1);
  });

  it("ORD-01: refuses a line whose total is not the unit price times the quantity", () => {
    assert.throws(
      () => place(request([line(2, "10.00", "20.00"), line(3, "0.99", "2.00")]), by),
      (error) => error instanceof Refusal && error.fields[0]?.field === "lines[1].total",
    );
  });

  for (const [name, order] of Object.entries(states))
    for (const [command, expected] of Object.entries(matrix[name as State]))
      it(`ORD-05: ${name}, ${command}: ${expected}`, () => assert.equal(outcome(order, command as Command), expected));

  it("ORD-05: PAID becomes CANCELLED for no cause but its refund, unless it is being taken back", () => {
    const causes: CancelCause[] = ["CUSTOMER", "ADMIN", "EXPIRED", "OUT_OF_STOCK", "CHECKOUT"];
    for (const cause of causes) {
      assert.throws(
        () => cancel(paid, cause, by),
        (error) => error instanceof Refusal && error.reason === "ORDER_STATE",
      );
      assert.equal(must(cancel(cancelling, cause, by)).history.at(-1)?.cause, cause);
    }
  });

  it("ORD-05: decides without changing its arguments", () => {
    const before = JSON.stringify(pending, replacer);
    pay(pending, by);
    cancel(pending, "EXPIRED", by);
    requestCancel(paid);
    assert.equal(JSON.stringify(pending, replacer), before);
    assert.equal(paid.cancelling, false);
  });

  it("ORD-05 ORD-06 CON-02: any sequence of commands is a legal path, with a history of it", () => {
    const legal: Partial<Record<OrderStatus, readonly OrderStatus[]>> = {
      [OrderStatus.PENDING]: [OrderStatus.PAID, OrderStatus.CANCELLED],
      [OrderStatus.PAID]: [OrderStatus.COMPLETED, OrderStatus.CANCELLED],
    };
    // Cancelling as the service does it: an unpaid one at once, a paid one after it was marked.
    const steps: Record<string, (order: OrderState) => Decision | undefined> = {
      pay: commands.pay,
      expire: (order) => (order.status === OrderStatus.PENDING ? cancel(order, "EXPIRED", by) : complete(order, by)),
      cancel: (order) => (order.status === OrderStatus.PENDING ? cancel(order, "CUSTOMER", by) : requestCancel(order)),
      refunded: (order) => (order.status === OrderStatus.PENDING ? undefined : commands["cancel, refunded"](order)),
      takenBack: (order) => (order.cancelling ? cancel(order, "CUSTOMER", by) : undefined),
      fulfil: commands.fulfil,
      remind: commands.remind,
    };
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...Object.keys(steps)), { maxLength: 12 }), (names) => {
        let order = pending;
        let version = 1;
        const payments = { in: 0, back: 0 };
        for (const name of names) {
          let decision: Decision | undefined;
          try {
            decision = steps[name]!(order);
          } catch (error) {
            // A payment for an order that was cancelled unpaid must be prevented elsewhere.
            if (name === "pay" && order.status === OrderStatus.CANCELLED) continue;
            assert.ok(error instanceof Refusal && error.reason === "ORDER_STATE", String(error));
            continue;
          }
          if (decision === undefined) continue;
          version += decision.events.length;
          if (decision.state.status !== order.status) assert.ok(legal[order.status]?.includes(decision.state.status));
          if (name === "pay") payments.in++;
          const last = decision.events.at(-1) as unknown as { order: OrderState };
          assert.deepEqual(last.order, decision.state, "the last event carries the state");
          order = decision.state;
        }
        const path = order.history.map(({ status }) => status);
        assert.equal(path[0], OrderStatus.PENDING);
        assert.equal(path.at(-1), order.status);
        for (const [nth, status] of path.slice(1).entries()) assert.ok(legal[path[nth]!]?.includes(status));
        assert.ok(payments.in <= 1);
        assert.ok(version >= path.length);
        assert.ok(!(order.cancelling && order.status !== OrderStatus.PAID));
        assert.ok(!(order.fulfilments.length > 0 && order.status !== OrderStatus.COMPLETED));
      }),
      { numRuns: 2_000 },
    );
  });

  it("then: two decisions make one, in order", () => {
    const both = then(pay(pending, by), pending, requestCancel)!;
    assert.deepEqual(
      both.events.map(({ $typeName }) => $typeName.split(".").at(-1)),
      ["OrderPaid", "OrderCancelRequested"],
    );
    assert.equal(both.state.cancelling, true);
    assert.equal(
      then(undefined, paid, () => undefined),
      undefined,
    );
  });
});

function replacer(_: string, value: unknown): unknown {
  return typeof value === "bigint" ? String(value) : value;
}
