import { boolean, text, url } from "@kontor/platform/config/variables.ts";
import { serviceNames, variableOf } from "../roles.ts";
import { forEach } from "./for-each.ts";

const rpcSchemes = ["grpc", "grpcs", "http", "https"] as const;

/** How the processes of one shop reach each other. */
export const processVariables = {
  services: forEach(serviceNames, (name) =>
    url(variableOf(name, "URL"), {
      about: `where ${name} is, when it runs in another process`,
      schemes: rpcSchemes,
      hosts: "many",
      optional: true,
    }),
  ),
  rpc: url("KONTOR_RPC", { about: "where the services of this process listen for other processes", schemes: rpcSchemes, optional: true }),
  reflection: boolean("KONTOR_RPC_REFLECTION", { about: "whether the gRPC server offers reflection", default: false }),
  tls: {
    ca: text("KONTOR_TLS_CA", {
      about: "the file with the certificate that must have signed other processes' certificates",
      optional: true,
    }),
    cert: text("KONTOR_TLS_CERT", { about: "the file with this process's certificate", optional: true }),
    key: text("KONTOR_TLS_KEY", { about: "the file with its key", optional: true }),
  },
  requireTls: boolean("KONTOR_REQUIRE_TLS", {
    about: "whether to refuse addresses of servers and services that are not reached by TLS",
    default: false,
  }),
  instance: text("KONTOR_INSTANCE", {
    about: "this process's name among its replicas, in logs and responses",
    optional: true,
    pattern: /^[a-z0-9-]{1,60}$/,
  }),
  sharePort: boolean("KONTOR_SHARE_PORT", { about: "whether several gateways listen on the one port", default: false }),
} as const;
