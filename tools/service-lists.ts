import { contracts } from "../contracts/registry.ts";
import { definitions, serviceNames } from "../apps/kontor/roles.ts";
import { eventTypeOf } from "../platform/contract/contract.ts";
import { eventMessages } from "../platform/events/event-schemas.ts";
import { serviceTable } from "./service-readme.ts";
import { file } from "./sources.ts";
import type { Source } from "./sources.ts";

const readmeMarker = "<!-- Made by npm run generate from the definition, the contracts and the migrations. -->";

/** The files with lists of services, as they should be. */
export function serviceLists(): readonly Source[] {
  return [
    { path: "contracts/channels.json", text: `${JSON.stringify(channels(), null, 2)}\n` },
    replaced("README.md", [[/Services \([^)]*\)/, `Services (${serviceNames.join(", ")})`]]),
    replaced("docs/architecture.md", [
      [/^\| `services\/` \| .*? (?=\(|\|$)/m, `| \`services/\` | ${serviceNames.join(", ")} `],
      [/^ {2}gateway -->\|rpc\| .*$/m, `  gateway -->|rpc| ${serviceNames.join(" & ")}`],
      [/(?:^ {2}\w+ -\. events \.-> .*\n)+/m, eventArrows()],
      [
        /(?<=^\| service \| what it is for \|\n\|---\|---\|\n)(?:\|.*\n)+/m,
        definitions.map(({ name, summary }) => `| [${name}](../services/${name}/README.md) | ${summary} |\n`).join(""),
      ],
    ]),
    ...definitions.map((definition) =>
      replaced(`services/${definition.name}/README.md`, [
        [/(?<=^<!-- Made by npm run generate .* -->\n)[^]*$/m, `\n${serviceTable(definition)}`],
      ]),
    ),
  ];
}

/** Every event and every queue with its schema: events go over Kafka and tasks over RabbitMQ, where there are such servers. */
function channels() {
  const events = eventMessages(contracts).map(
    (schema) => [eventTypeOf(schema), { kind: "event", transport: "kafka", schema: schema.typeName }] as const,
  );
  const tasks = definitions.flatMap(({ name, queues = [] }) =>
    queues.map((queue) => [`${name}/${queue.name}`, { kind: "task", transport: "rabbitmq", schema: queue.schema.typeName }] as const),
  );
  return Object.fromEntries([...events, ...tasks].toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

/** The overview's arrows from each publisher to the other services that subscribe to it. */
function eventArrows(): string {
  return serviceNames
    .map((publisher) => {
      const subscribers = definitions.filter(
        ({ name, subscriptions = [] }) => name !== publisher && subscriptions.some((one) => one.publisher === publisher),
      );
      return subscribers.length === 0 ? "" : `  ${publisher} -. events .-> ${subscribers.map(({ name }) => name).join(" & ")}\n`;
    })
    .join("");
}

/** A file in which each pattern's first match is replaced. Throws where there is none: the list would be missing. */
function replaced(path: string, replacements: readonly (readonly [RegExp, string])[]): Source {
  let { text } = file(path);
  for (const [pattern, list] of replacements) {
    if (!pattern.test(text))
      throw new Error(`${path} has no list like ${pattern.source}${path.startsWith("services/") ? `; it ends with ${readmeMarker}` : ""}`);
    text = text.replace(pattern, () => list);
  }
  return { path, text };
}
