import type { Configuration } from "../../configuration.ts";
import { CommandError } from "../command.ts";

/** The ports that the app listens on, each with the variable that sets it. */
export function portsOf(config: Configuration): readonly { readonly port: number; readonly variable: string; readonly what: string }[] {
  return [
    { port: config.port, variable: "KONTOR_PORT", what: "the API" },
    { port: config.mailboxPort, variable: "KONTOR_MAILBOX_PORT", what: "the mailbox" },
    { port: config.smtpPort, variable: "KONTOR_SMTP_PORT", what: "the mail catcher" },
    { port: config.settings.payments.providerPort, variable: "KONTOR_PROVIDER_PORT", what: "the payment provider" },
    ...(config.opsPort === undefined ? [] : [{ port: config.opsPort, variable: "KONTOR_OPS_PORT", what: "metrics and health" }]),
  ];
}

/** Why the app could not be opened, as a `CommandError` when it is something that the user can change; a fault is returned as it is. */
export function explainOpening(error: unknown, config: Configuration): unknown {
  if (!(error instanceof Error)) return error;
  const code = "code" in error ? error.code : undefined;
  const port = "port" in error ? error.port : undefined;
  const ours = portsOf(config).find((one) => one.port === port);
  if (code === "EADDRINUSE")
    return new CommandError(`port ${String(port)} is taken by another program: free it, or set ${ours?.variable ?? "KONTOR_RPC"}`, {
      cause: error,
    });
  if (code === "EADDRNOTAVAIL") return new CommandError(`this machine has no address ${config.host}: set KONTOR_HOST`, { cause: error });
  if (code === "EACCES" && ours !== undefined)
    return new CommandError(`port ${ours.port} needs rights that this user does not have: set ${ours.variable} to one above 1023`, {
      cause: error,
    });
  // The app and its PostgreSQL throw plain errors with a sentence for the operator; bugs and broken connections are of other classes.
  const forOperator = error.constructor === Error || error.constructor.name === "InstallationInUse";
  return forOperator && code === undefined ? new CommandError(error.message, { cause: error }) : error;
}
