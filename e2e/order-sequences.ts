import type { AsyncCommand } from "fast-check";
import fc from "fast-check";
import type { World } from "./order-world.ts";
import { losable, subscribers } from "./order-steps.ts";
import type { pausable, Pause, Step, Subscriber } from "./order-steps.ts";
import { runStep } from "./run-step.ts";

const often = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(value, { nil: undefined, freq: 2 });
const cart = fc.constantFrom(0, 0, 0, 0, 1);
const service = fc.constantFrom(...subscribers);
const services = fc.constantFrom(...subscribers, "payments");
const pauseOf = (...methods: readonly (typeof pausable)[number][]) =>
  often(fc.constantFrom(...methods.flatMap((method): Pause[] => [`before ${method}`, `after ${method}`])));
const placing = pauseOf("inventory.reserve", "orders.createOrder", "payments.openPayment", "carts.removeOrdered", "orders.describeOrder");
const cancelling = pauseOf("payments.closePayment", "payments.refundPayment");
const goingOn = pauseOf("orders.createOrder", "payments.openPayment", "payments.closePayment", "orders.voidOrder", "inventory.release");
const of = <const Name extends string>(name: Name) => fc.constant(name);

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 10, arbitrary: fc.record({ do: of("place"), cart, key: fc.nat(3), pauseAt: placing }) },
  { weight: 3, arbitrary: fc.record({ do: of("change"), cart, sku: fc.constantFrom(0, 1), quantity: fc.nat(2) }) },
  { weight: 5, arbitrary: fc.record({ do: of("cancel"), cart, by: fc.constantFrom("customer", "admin"), pauseAt: cancelling }) },
  { weight: 4, arbitrary: fc.record({ do: of("pay"), cart, webhooks: fc.nat(2) }) },
  { weight: 1, arbitrary: fc.record({ do: of("decline"), cart }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: of("pass"), hours: fc.constantFrom(0.1, 2, 23, 24, 25), pauseAt: pauseOf("payments.closePayment") }),
  },
  { weight: 5, arbitrary: fc.record({ do: of("continue"), pauseAt: goingOn }) },
  { weight: 2, arbitrary: fc.record({ do: of("lose"), method: fc.constantFrom(...losable) }) },
  { weight: 1, arbitrary: fc.record({ do: of("late"), service }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constantFrom("deliver", "deliver", "repeat") }) },
  { weight: 1, arbitrary: fc.record({ do: of("park"), service, cart }) },
  { weight: 1, arbitrary: fc.record({ do: of("replay") }) },
  { weight: 1, arbitrary: fc.record({ do: of("restart"), service: services, how: of("stop") }) },
  { weight: 1, arbitrary: fc.record({ do: of("restart"), service: of("checkout"), how: of("crash") }) },
);

type Command = AsyncCommand<object, World>;

/** A step as fast-check runs it. One that means nothing where it stands does nothing. */
export const commandOf = (each: Step): Command => ({
  check: () => true,
  run: (_, world) => runStep(world, each),
  toString: () => JSON.stringify(each),
});

/** Sequences of up to so many steps; in some, events are late from the beginning on. */
export function sequences(
  maxCommands: number,
): fc.Arbitrary<{ readonly late: readonly Subscriber[]; readonly commands: Iterable<Command> }> {
  return fc.record({
    late: fc.oneof(fc.constant([]), fc.constant<Subscriber[]>(["checkout"]), fc.subarray([...subscribers])),
    commands: fc.commands([step.map(commandOf)], { maxCommands, size: "max" }),
  });
}
