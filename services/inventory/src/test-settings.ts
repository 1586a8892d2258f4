import type { InventorySettings } from "./settings.ts";

/** For tests whose few shoppers leave more orders unpaid than those of a shop. */
export const unlimitedHoldings: InventorySettings = {
  ordersOfAccountMax: 0,
  unitsOfAccountMax: 0,
  ordersOfAddressMax: 0,
  unitsOfAddressMax: 0,
};
