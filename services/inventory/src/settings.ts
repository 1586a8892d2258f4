import type { Config } from "@kontor/platform/config/read-config.ts";
import { integer } from "@kontor/platform/config/variables.ts";

/** The variables of inventory: what may be reserved by orders that nobody has paid yet. */
export const settings = {
  ordersOfAccountMax: integer("KONTOR_INVENTORY_OPEN_ORDERS_PER_ACCOUNT", {
    about: "how many unpaid orders an account may have; 0: any number",
    default: 20,
  }),
  unitsOfAccountMax: integer("KONTOR_INVENTORY_HELD_UNITS_PER_ACCOUNT", {
    about: "how many units an account's unpaid orders may reserve together; 0: any number",
    default: 500,
  }),
  ordersOfAddressMax: integer("KONTOR_INVENTORY_OPEN_ORDERS_PER_ADDRESS", {
    about: "how many unpaid orders may come from a client's address, of all accounts; 0: any number",
    default: 500,
  }),
  unitsOfAddressMax: integer("KONTOR_INVENTORY_HELD_UNITS_PER_ADDRESS", {
    about: "how many units those of an address may reserve together; 0: any number",
    default: 5_000,
  }),
} as const;

export type InventorySettings = Config<typeof settings>;
