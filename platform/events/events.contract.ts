import { describe } from "node:test";
import { deliveryContract } from "./subscriptions/delivery.contract.ts";
import type { DeliveryCounts } from "./subscriptions/delivery.contract.ts";
import { parkedContract } from "./subscriptions/parked.contract.ts";
import { resetContract } from "./subscriptions/reset.contract.ts";
import type { EventsInstallation } from "./test-subscriptions.ts";

/** What every event transport promises. `open` opens a new installation with empty databases, and stops it after the test. */
export function eventsContract(name: string, open: () => Promise<EventsInstallation>, counts: DeliveryCounts = {}): void {
  describe(`events: ${name}`, () => {
    deliveryContract(open, counts);
    parkedContract(open);
    resetContract(open);
  });
}
