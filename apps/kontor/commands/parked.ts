import { listParked, replayParked, skipParked } from "@kontor/platform/events/subscriptions/parked.ts";
import type { ParkedSelection } from "@kontor/platform/events/subscriptions/parked.ts";
import { parsedArgs, readArgs, subcommand, UsageError } from "./command.ts";
import type { Command } from "./command.ts";
import { withDatabases } from "./app/with-databases.ts";
import { table } from "./terminal/table.ts";

const listMax = 1_000;

export const parked: Command = {
  name: "parked",
  summary: "events that a service could not apply: list, replay or skip them",
  usage: `Usage: kontor parked list
       kontor parked replay [ID …]
       kontor parked skip ID … | --all

An event that keeps failing is parked, with all that follow in its stream; other streams go on. replay has them tried again, in order, by
the running shop or when it starts; skip drops them for good.

  --service NAME        only of this service's database
  --subscription NAME   only of this subscription
  --stream ID           only of this stream
  --all                 skip everything that is parked`,
  async run(args, context) {
    const [action, rest] = subcommand(args, ["list", "replay", "skip"]);
    const options = {
      service: { type: "string" },
      subscription: { type: "string" },
      stream: { type: "string" },
      all: { type: "boolean" },
    } as const;
    const { values, positionals: ids } = action === "list" ? readArgs(rest, options) : parsedArgs(rest, options);
    const { service, subscription, stream, all } = values;
    const selection: ParkedSelection = {
      ...(subscription !== undefined && { subscription }),
      ...(stream !== undefined && { stream }),
      ...(ids.length > 0 && { ids }),
    };
    if (action === "skip" && all !== true && Object.keys(selection).length === 0)
      throw new UsageError("say which events to skip, or --all");
    return withDatabases(context, service, async (databases) => {
      if (action === "list") {
        const rows: string[][] = [];
        for (const [name, database] of databases)
          for (const event of await listParked(database, selection, listMax)) {
            const { subscription: reader, stream: about, id, type, attempts, nextAttemptAt, cause } = event;
            const next = nextAttemptAt?.toISOString() ?? (attempts === 0 ? "after those before it" : "never by itself");
            rows.push([name, reader, about, id, type, String(attempts), next, cause]);
          }
        const heads = ["SERVICE", "SUBSCRIPTION", "STREAM", "ID", "TYPE", "ATTEMPTS", "NEXT ATTEMPT", "CAUSE"];
        context.stdout.write(rows.length === 0 ? "Nothing is parked.\n" : table(heads, rows));
        return 0;
      }
      let count = 0;
      for (const database of databases.values()) count += await (action === "replay" ? replayParked : skipParked)(database, selection);
      if (action === "replay")
        context.stdout.write(
          count === 0 ? "No such event is parked.\n" : `${count} events are tried again, in the order of their streams.\n`,
        );
      else context.stdout.write(`${count} events were skipped.\n`);
      return count === 0 && ids.length > 0 ? 1 : 0;
    });
  },
};
