import { text, url } from "@kontor/platform/config/variables.ts";
import { definitions, variableOf } from "../roles.ts";
import { forEach } from "./for-each.ts";

const storesDocuments = definitions.filter(({ documents = [] }) => documents.length > 0).map(({ name }) => name);

/** The servers that take over from embedded engines. */
export const engineVariables = {
  namespace: text("KONTOR_NAMESPACE", {
    about: "the prefix of databases, topics, queues, keys and indexes on shared servers",
    expected: "a lower-case letter and then at most 29 letters, digits or _",
    pattern: /^[a-z][a-z0-9_]{0,29}$/,
    default: "kontor",
  }),
  cache: url("KONTOR_CACHE", {
    about: "Redis, one server or the nodes of a cluster; this process's memory without it",
    schemes: ["redis", "rediss"],
    hosts: "many",
    optional: true,
  }),
  events: url("KONTOR_EVENTS", {
    about: "Kafka's brokers; subscribers read the publishers' logs without them",
    schemes: ["kafka"],
    hosts: "many",
    optional: true,
  }),
  tasks: url("KONTOR_TASKS", {
    about: "RabbitMQ's nodes; tasks are claimed from PostgreSQL without them",
    schemes: ["amqp", "amqps"],
    hosts: "many",
    optional: true,
  }),
  search: url("KONTOR_SEARCH", {
    about: "OpenSearch; products are searched in PostgreSQL without it, and while it is unavailable",
    schemes: ["http", "https"],
    optional: true,
  }),
  documents: forEach(storesDocuments, (name) =>
    url(variableOf(name, "DOCUMENTS"), {
      about: `where the documents of ${name} are stored: Redis or MongoDB; in PostgreSQL without it`,
      schemes: ["redis", "rediss", "mongodb", "mongodb+srv"],
      hosts: "many",
      optional: true,
    }),
  ),
  smtpUrl: url("KONTOR_SMTP_URL", {
    about: "the mail server; without one mails go to the mailbox page",
    schemes: ["smtp", "smtps"],
    optional: true,
  }),
  serversCa: text("KONTOR_SERVERS_CA", {
    about: "a PEM file with the authorities that sign the certificates of the servers above; those that Node.js trusts without it",
    optional: true,
  }),
} as const;
