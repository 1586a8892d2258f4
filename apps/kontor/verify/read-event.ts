import type { Message } from "@bufbuild/protobuf";
import type { Stock } from "@kontor/contracts/gen/kontor/inventory/v1/inventory_pb.js";
import { contracts } from "@kontor/contracts/registry.ts";
import { eventMessages, eventSchemas } from "@kontor/platform/events/event-schemas.ts";

const schemas = eventSchemas(eventMessages(contracts));

/** The stock that an event of a SKU's stream carries; undefined when its bytes are no such event. */
export function stockOfEvent(type: string, data: Uint8Array): Stock | undefined {
  const message: (Message & { readonly stock?: Stock }) | undefined = readable(() => schemas.decode(type, data));
  return message?.stock;
}

/** Decodes, or gives undefined for bytes that are no such message: the caller knows whose they are, and reports it. */
export function readable<T>(decode: () => T): T | undefined {
  try {
    return decode();
  } catch {
    return undefined;
  }
}
