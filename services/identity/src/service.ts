import { IdentityService } from "@kontor/contracts/gen/kontor/identity/v1/identity_pb.js";
import { defineService } from "@kontor/platform/service/service.ts";
import { retention } from "./retention.ts";

export const identity = defineService({
  name: "identity",
  summary: "accounts, sign-in and tokens",
  contracts: [IdentityService],
  migrations: new URL("../migrations/", import.meta.url),
  retention,
  load: () => import("./create-service.ts"),
});
