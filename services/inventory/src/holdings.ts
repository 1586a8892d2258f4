import { refuse } from "@kontor/platform/errors/refusal.ts";
import type { InventorySettings } from "./settings.ts";

/** Whose reservation it is; undefined for what no shopper has ordered. */
export interface HolderIds {
  readonly account: string | undefined;
  /** The address that it was ordered from: see `Call.origin`. */
  readonly origin: string | undefined;
}

/** What somebody holds: unpaid orders, and the units that they reserve. */
export interface Holding {
  readonly orders: number;
  readonly units: number;
}

type Kind = "account" | "origin";

/** Holdings by kind and id, as they were read, with what has been decided since. */
export class Holdings {
  readonly #limits: InventorySettings;
  readonly #held: Readonly<Record<Kind, Map<string, Holding>>>;

  constructor(limits: InventorySettings, held: Readonly<Record<Kind, Map<string, Holding>>>) {
    this.#limits = limits;
    this.#held = held;
  }

  /** The refusal of an order of so many units, TOO_MANY_OPEN_ORDERS, or undefined when its holder may have it. */
  refusalOf(holder: HolderIds, units: number): Error | undefined {
    const { ordersOfAccountMax, unitsOfAccountMax, ordersOfAddressMax, unitsOfAddressMax } = this.#limits;
    const [account, address] = [this.#of("account", holder.account), this.#of("origin", holder.origin)];
    return (
      exceeded("OPEN_ORDERS_PER_ACCOUNT", account?.orders, 1, ordersOfAccountMax) ??
      exceeded("HELD_UNITS_PER_ACCOUNT", account?.units, units, unitsOfAccountMax) ??
      exceeded("OPEN_ORDERS_PER_ADDRESS", address?.orders, 1, ordersOfAddressMax) ??
      exceeded("HELD_UNITS_PER_ADDRESS", address?.units, units, unitsOfAddressMax)
    );
  }

  /** Adds an order that is held now. */
  add(holder: HolderIds, units: number): void {
    for (const kind of ["account", "origin"] as const) {
      const id = holder[kind];
      const held = this.#of(kind, id);
      if (id !== undefined && held !== undefined) this.#held[kind].set(id, { orders: held.orders + 1, units: held.units + units });
    }
  }

  /** Undefined for nobody. */
  #of(kind: Kind, id: string | undefined): Holding | undefined {
    return id === undefined ? undefined : (this.#held[kind].get(id) ?? { orders: 0, units: 0 });
  }
}

const messages = {
  OPEN_ORDERS_PER_ACCOUNT: "There are too many unpaid orders; pay or cancel one of them",
  HELD_UNITS_PER_ACCOUNT: "Unpaid orders reserve too many units; pay or cancel one of them, or order less",
  OPEN_ORDERS_PER_ADDRESS: "Too many unpaid orders came from this network; try again later",
  HELD_UNITS_PER_ADDRESS: "Unpaid orders from this network reserve too many units; try again later",
} as const;

function exceeded(limit: keyof typeof messages, held: number | undefined, more: number, max: number): Error | undefined {
  if (held === undefined || max === 0 || held + more <= max) return undefined;
  const details = { limit, max, held };
  return refuse({ reason: "TOO_MANY_OPEN_ORDERS", code: "failed_precondition", message: messages[limit], details });
}
