import type { Surroundings } from "@kontor/platform/service/service.ts";
import type { Provider } from "./provider.ts";

export type PaymentNeeds = Pick<Surroundings, "database" | "events" | "tasks" | "clock" | "ids" | "config" | "log"> & {
  readonly provider: Provider;
};
