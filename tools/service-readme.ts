import { globSync, readFileSync } from "node:fs";
import { Allow } from "@kontor/contracts/gen/kontor/api/v1/options_pb.js";
import { contracts as registry } from "../contracts/registry.ts";
import { describeConfig } from "../platform/config/read-config.ts";
import { eventTypeOf, methodsOf } from "../platform/contract/contract.ts";
import { eventMessages } from "../platform/events/event-schemas.ts";
import type { ServiceDefinition } from "../platform/service/service.ts";

/** The last part of a service's README: its tables, calls, events and variables, as its definition, contracts and migrations have them. */
export function serviceTable(definition: ServiceDefinition): string {
  const { name, contracts, subscriptions = [], queues = [], documents = [], settings = {} } = definition;
  const methods = contracts.flatMap((contract) => methodsOf(contract));
  const internal = methods.filter(({ allow }) => allow.every((one) => one === Allow.INTERNAL));
  const offered = methods.filter((method) => !internal.includes(method));
  const rows: readonly (readonly [string, readonly string[]])[] = [
    ["tables", tablesOf(definition)],
    ["documents", documents.map((collection) => collection.name)],
    ["calls", offered.map(({ method }) => method.name)],
    ["internal calls", internal.map(({ method }) => method.name)],
    ["events in", [...new Set(subscriptions.flatMap(({ schemas }) => schemas.map(eventTypeOf)))]],
    [
      "events out",
      eventMessages(registry)
        .map(eventTypeOf)
        .filter((type) => type.startsWith(`${name}.`)),
    ],
    ["tasks", queues.map((queue) => queue.name)],
    ["variables", describeConfig(settings).map(({ variable }) => variable)],
  ];
  const lines = rows.map(([what, names]) => `| ${what} | ${names.map((one) => `\`${one}\``).join(", ") || "none"} |`);
  return `| | |\n|---|---|\n${lines.join("\n")}\n`;
}

function tablesOf({ migrations }: ServiceDefinition): readonly string[] {
  if (migrations === undefined) return [];
  const files = globSync("*.sql", { cwd: migrations }).toSorted();
  return files.flatMap((file) =>
    Array.from(readFileSync(new URL(file, migrations), "utf8").matchAll(/^create (?:unlogged )?table (\w+)/gm), ([, table]) => table!),
  );
}
