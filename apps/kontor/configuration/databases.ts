import { integer, text, url } from "@kontor/platform/config/variables.ts";
import { databaseNames, variableOf } from "../roles.ts";
import { forEach } from "./for-each.ts";

const server = { schemes: ["postgres", "postgresql"], hosts: "many", optional: true } as const;

/** Where the data of the shop is stored. */
export const databaseVariables = {
  data: text("KONTOR_DATA", { about: "the folder of the embedded shop's data", default: ".kontor" }),
  connections: integer("KONTOR_CONNECTIONS", {
    about: "how many database connections the process opens at most",
    default: 40,
    min: 3,
    max: 1000,
  }),
  postgresSettings: text("KONTOR_POSTGRES_SETTINGS", {
    about: "settings of the embedded PostgreSQL that override Kontor's: shared_buffers=256MB;work_mem=16MB",
    expected: "name=value pairs separated by semicolons",
    pattern: /^[a-z_.]+=[^;]*(;[a-z_.]+=[^;]*)*$/,
    optional: true,
  }),
  databaseUrl: url("KONTOR_DATABASE_URL", {
    about: "a PostgreSQL server on which the services' databases are created; an embedded one without it",
    ...server,
  }),
  databases: forEach(databaseNames, (name) =>
    url(variableOf(name, "DATABASE_URL"), { about: `the database of ${name}, when it has a server of its own`, ...server }),
  ),
  replicaUrl: url("KONTOR_DATABASE_REPLICA_URL", { about: "a read replica of that server", ...server }),
  replicas: forEach(databaseNames, (name) =>
    url(variableOf(name, "DATABASE_REPLICA_URL"), { about: `a read replica of the database of ${name}`, ...server }),
  ),
} as const;
