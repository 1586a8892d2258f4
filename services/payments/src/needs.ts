import type { Changes } from "@kontor/platform/changes/changes.ts";
import type { ServiceContext } from "@kontor/platform/service/service.ts";
import type { Declines } from "./attempt-limits.ts";
import type { PaymentBatches } from "./payment-batches.ts";
import type { Provider } from "./provider.ts";

export type PaymentNeeds = Pick<ServiceContext, "database" | "events" | "tasks" | "clock" | "ids" | "config" | "log"> & {
  readonly provider: Provider;
  readonly payments: PaymentBatches;
  readonly declines: Declines;
  /** Of payments, for those who wait for them. */
  readonly changes: Changes;
};
