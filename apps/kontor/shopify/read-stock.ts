import { StockPolicy } from "@kontor/contracts/gen/kontor/inventory/v1/inventory_pb.js";
import { readBoolean, readQuantity } from "./cells.ts";
import type { DraftNeeds, Row } from "./draft-needs.ts";

/** What a row says of a variant's stock. */
export interface ReadStock {
  /** Undefined where the file does not say how many units there are, or they are not counted. */
  readonly onHand: number | undefined;
  /** STOCK_POLICY_UNSPECIFIED where the file does not say. */
  readonly policy: StockPolicy;
}

/**
 * Reads the stock of a row: the sum of its locations where the file has one column for each. Without a tracker nothing is counted, and the policy
 * "continue" takes orders for units that are not there. What cannot be read is noted, and books nothing.
 */
export function readStock({ columns, numbers, report }: DraftNeeds, { line, cells }: Row, handle: string): ReadStock {
  const note = (column: string, message: string): void => report({ kind: "note", line, handle, column, message });
  const tracked = columns.of(cells, "tracker") !== "";
  if (columns.has("tracker") && !tracked) return { onHand: undefined, policy: StockPolicy.NOT_COUNTED };
  const written = columns.has("quantity")
    ? [{ label: columns.label("quantity"), text: columns.of(cells, "quantity") }]
    : columns.locations.map(({ label, of }) => ({ label, text: of(cells).replace(/^not stocked$/i, "") }));
  let onHand: number | undefined;
  for (const { label, text } of written) {
    if (text === "") continue;
    const read = readQuantity(text, numbers);
    if ("problem" in read) {
      note(label, `${read.problem}; no units are booked`);
      onHand = undefined;
      break;
    }
    if (text.startsWith("-")) note(label, `${text} is below zero and counts as 0`);
    onHand = (onHand ?? 0) + read.value;
  }
  return { onHand, policy: policyOf(columns.of(cells, "policy"), columns.has("policy") || columns.has("tracker")) };
}

function policyOf(text: string, says: boolean): StockPolicy {
  if (/^continue$/i.test(text) || readBoolean(text) === true) return StockPolicy.BACKORDER;
  return says ? StockPolicy.COUNTED : StockPolicy.STOCK_POLICY_UNSPECIFIED;
}
