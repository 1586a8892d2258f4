import { fromBinary } from "@bufbuild/protobuf";
import { PlaceOrderInputSchema } from "@kontor/contracts/gen/kontor/checkout/v1/checkout_pb.js";
import type { PlaceOrderInput } from "@kontor/contracts/gen/kontor/checkout/v1/checkout_pb.js";
import { OrderSchema } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import type { Queries } from "@kontor/platform/database/database.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import { IdCounts } from "./id-counts.ts";
import { hasEvents } from "./i8-applied.ts";
import type { Breach, Invariant, Look } from "./invariant.ts";
import { orderRows, ordersWithIds } from "./order-rows.ts";
import type { OrderRow } from "./order-rows.ts";
import { byId, pages } from "./pages.ts";
import { paymentsWithIds } from "./payment-rows.ts";
import type { PaymentRow } from "./payment-rows.ts";
import { readable } from "./read-event.ts";

const atOnce = 1_000;
const keysAtOnce = 10_000;

interface SagaRow {
  readonly id: string;
  readonly status: "RUNNING" | "UNDOING" | "DONE" | "REFUSED";
  readonly input: Uint8Array;
  readonly answer: Uint8Array | null;
  readonly refused: boolean;
}

/** What was answered is there, once: an order for every checkout that was placed, none for one that was refused. */
export const answersInvariant: Invariant = {
  id: "I10",
  title: "every placed checkout has its answer, its order and its payment; every order one checkout; every key one answer",
  counts: "checkouts",
  async *check(look) {
    const placed = new IdCounts();
    yield* checkouts(look, placed);
    const read = (after: string, limit: number) =>
      orderRows(look.of("orders"), ["PENDING", "PAID", "COMPLETED", "CANCELLED"], after, limit);
    for await (const page of pages(read, ({ id }) => id, atOnce))
      for (const { id } of page) {
        const count = placed.count(id);
        if (count !== 1) yield { about: id, text: `order ${id} has ${count} checkouts` };
      }
    yield* keysOfTwo(look);
    for (const [service, database] of look.databases) if (hasEvents(service)) yield* keysWithoutAnswer(service, database);
  },
};

/** Looks at all checkouts and counts them by order. */
async function* checkouts(look: Look, placed: IdCounts): AsyncGenerator<Breach> {
  const read = (after: string, limit: number) =>
    look.of("checkout").rows<SagaRow>(sql`
      select id, status, input, answer, refusal is not null as refused from sagas where name = 'place-order' and id > ${after} order by id limit ${limit}`);
  for await (const page of pages(read, ({ id }) => id, atOnce)) {
    look.looked(page.length);
    const sagas = page.map((saga) => ({ ...saga, input: readable(() => fromBinary(PlaceOrderInputSchema, saga.input)) }));
    const inputs = sagas.flatMap(({ input }) => input ?? []);
    const orders = byId(
      await ordersWithIds(
        look.of("orders"),
        inputs.map(({ order }) => order),
      ),
    );
    const payments = byId(
      await paymentsWithIds(
        look.of("payments"),
        inputs.map(({ payment }) => payment),
      ),
    );
    for (const { id, input, ...saga } of sagas) {
      if (input === undefined) {
        yield { about: id, text: `checkout ${id} has an input that cannot be read` };
        continue;
      }
      placed.add(input.order);
      const problem = problemOf({ ...saga, input }, orders.get(input.order), payments.get(input.payment));
      if (problem !== undefined) yield { about: id, text: `checkout ${id} is ${saga.status}, and ${problem}` };
    }
  }
}

function problemOf(
  { status, input, answer, refused }: Omit<SagaRow, "id" | "input"> & { readonly input: PlaceOrderInput },
  order: OrderRow | undefined,
  payment: PaymentRow | undefined,
): string | undefined {
  switch (status) {
    case "RUNNING":
    case "UNDOING":
      return undefined;
    case "REFUSED":
      if (!refused) return "it has no refusal to answer with";
      if (order !== undefined && order.status !== "VOID" && order.status !== "CANCELLED") return `its order ${order.id} is ${order.status}`;
      return payment !== undefined && (payment.status === "OPEN" || payment.status === "CAPTURED")
        ? `its payment ${payment.id} is ${payment.status}`
        : undefined;
    case "DONE": {
      const answered = answer === null ? undefined : readable(() => fromBinary(OrderSchema, answer));
      if (answered === undefined) return "it has no answer";
      if (answered.id !== input.order) return `it answers with order ${answered.id} instead of ${input.order}`;
      if (order === undefined || order.status === "VOID") return `its order ${input.order} is ${order?.status ?? "not there"}`;
      if (order.payment !== input.payment || order.customer !== input.customer)
        return `its order ${input.order} has another payment or customer`;
      if (payment === undefined || payment.status === "VOID") return `its payment ${input.payment} is ${payment?.status ?? "not there"}`;
      return payment.order === input.order ? undefined : `its payment ${payment.id} is for order ${payment.order}`;
    }
  }
}

async function* keysOfTwo(look: Look): AsyncGenerator<Breach> {
  const read = (after: string, limit: number) =>
    look
      .of("checkout")
      .rows<{ key: string; sagas: readonly string[] }>(
        sql`select key, array_agg(id order by id) as sagas from sagas where key > ${after} group by key order by key limit ${limit}`,
      );
  for await (const page of pages(read, ({ key }) => key, keysAtOnce))
    for (const { sagas } of page)
      if (sagas.length > 1) yield { about: sagas[0]!, text: `the checkouts ${sagas.join(", ")} have one idempotency key` };
}

/** A key is claimed and answered in one transaction: nobody else ever sees it without. */
async function* keysWithoutAnswer(service: string, database: Queries): AsyncGenerator<Breach> {
  for (let after = ""; ;) {
    const { found, last, empty } = await database.one<{ found: number; last: string | null; empty: number }>(sql`
      with page as (
        select key, response is null and refusal is null as empty from idempotency_keys where key > ${after} order by key limit ${keysAtOnce}
      )
      select count(*)::int as found, (select key from page order by key desc limit 1) as last, count(*) filter (where empty)::int as empty from page`);
    if (empty > 0) yield { about: `${service} ${after}`, text: `${service} has ${empty} idempotency keys without an answer` };
    if (found < keysAtOnce || last === null) return;
    after = last;
  }
}
