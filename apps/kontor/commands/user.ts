import { randomBytes } from "node:crypto";
import { IdentityService } from "@kontor/contracts/gen/kontor/identity/v1/identity_pb.js";
import { rootCall } from "@kontor/platform/call/call.ts";
import { readArgs, subcommand, UsageError } from "./command.ts";
import type { Command, Context } from "./command.ts";
import { withApp } from "./app/with-app.ts";
import { ask } from "./terminal/ask.ts";

const roles: readonly string[] = ["admin", "seller", "support"];

export const user: Command = {
  name: "user",
  summary: "create an account, an administrator's for example",
  usage: `Usage: kontor user create --email EMAIL --name NAME [--role admin] [--password PASSWORD]

The account is verified. Without --password the command prompts for one on a terminal, and otherwise generates one and prints it once. A password
that is an option can be seen by others on this machine while the command runs.

  --role ROLE   admin, support or seller; can be repeated. Without one it is a shopper's account`,
  async run(args, context) {
    const [, rest] = subcommand(args, ["create"]);
    const options = {
      email: { type: "string" },
      name: { type: "string" },
      password: { type: "string" },
      role: { type: "string", multiple: true, default: [] as string[] },
    } as const;
    const { values } = readArgs(rest, options);
    const { email, name, role } = values;
    if (email === undefined) throw new UsageError("--email is missing");
    if (name === undefined) throw new UsageError("--name is missing");
    const unknown = role.find((one) => !roles.includes(one));
    if (unknown !== undefined) throw new UsageError(`there is no role "${unknown}": ${roles.join(", ")}`);
    const { password, generated } = await passwordFor(values.password, context);
    const { id } = await withApp(context, (app) =>
      app
        .clientsFor("kontor")
        .of("identity", IdentityService)
        .createAccount({ email, name, password, roles: [...new Set(role)] }, rootCall({ caller: "kontor", timeoutMs: 10_000 })),
    );
    context.stdout.write(`${id}  ${email}${role.length === 0 ? "" : `  ${[...new Set(role)].join(", ")}`}\n`);
    if (generated) context.stdout.write(`password: ${password}\nIt is not shown again.\n`);
    return 0;
  },
};

async function passwordFor(
  option: string | undefined,
  context: Context,
): Promise<{ readonly password: string; readonly generated: boolean }> {
  if (option !== undefined) return { password: option, generated: false };
  const typed = context.stdin.isTTY === true ? await ask(context, "Password (empty to generate one): ", { hidden: true }) : "";
  return typed === "" ? { password: randomBytes(15).toString("base64url"), generated: true } : { password: typed, generated: false };
}
