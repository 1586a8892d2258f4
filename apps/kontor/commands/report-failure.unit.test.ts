import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ConfigError } from "@kontor/platform/config/read-config.ts";
import { refuse } from "@kontor/platform/errors/refusal.ts";
import { CommandError, UsageError } from "./command.ts";
import { explainOpening } from "./app/explain-opening.ts";
import { readConfiguration } from "../configuration.ts";
import { reportFailure } from "./report-failure.ts";

function reported(error: unknown): readonly [code: number, text: string] {
  let text = "";
  const code = reportFailure(error, { name: "x", usage: "Usage: kontor x" }, { stderr: { write: (part: string) => (text += part) } });
  return [code, text];
}

/** What opening throws when another shop runs on the data: its class is known by name only, without loading all services. */
class InstallationInUse extends Error {}

describe("what a command says when it fails", () => {
  it("reports known causes in a sentence, with the exit code", () => {
    assert.deepEqual(reported(new UsageError("--email is missing")), [2, "kontor: --email is missing\n\nUsage: kontor x\n"]);
    assert.deepEqual(reported(new CommandError("the file is empty")), [1, "kontor: the file is empty\n"]);
    assert.deepEqual(reported(new ConfigError([{ variable: "KONTOR_PORT", message: "is missing" }])), [
      1,
      "kontor: the configuration is not valid:\n  KONTOR_PORT: is missing\n",
    ]);
    const refusal = refuse({
      reason: "INVALID_REQUEST",
      code: "invalid_argument",
      message: "Some fields are wrong",
      fields: [{ field: "email", reason: "FORMAT", message: "must be an e-mail address" }],
    });
    assert.deepEqual(reported(new Error("while creating", { cause: refusal })), [
      1,
      "kontor: Some fields are wrong (INVALID_REQUEST)\n  email must be an e-mail address\n",
    ]);
  });

  it("prints where a fault happened", () => {
    for (const fault of [new TypeError("x is not a function"), refuse({ reason: "INTERNAL_ERROR", code: "internal" })]) {
      const [code, text] = reported(fault);
      assert.equal(code, 1);
      assert.match(text, /something went wrong that should not\n.*\n\s+at /);
    }
  });
});

describe("why the app could not be opened", () => {
  const config = readConfiguration({ KONTOR_SMTP_PORT: "25" });
  const explained = (error: unknown): string | undefined => {
    const explanation = explainOpening(error, config);
    return explanation instanceof CommandError ? explanation.message : undefined;
  };

  it("names the port that is taken and the variable that sets it", () => {
    const taken = Object.assign(new Error("listen"), { code: "EADDRINUSE", port: 4001 });
    assert.equal(explained(taken), "port 4001 is taken by another program: free it, or set KONTOR_MAILBOX_PORT");
    const forbidden = Object.assign(new Error("listen"), { code: "EACCES", port: 25 });
    const rpc = Object.assign(new Error("listen"), { code: "EADDRINUSE", port: 4010 });
    assert.equal(explained(rpc), "port 4010 is taken by another program: free it, or set KONTOR_RPC");
    assert.equal(explained(forbidden), "port 25 needs rights that this user does not have: set KONTOR_SMTP_PORT to one above 1023");
  });

  it("passes on errors that are written for the operator, and leaves faults as they are", () => {
    assert.equal(explained(new InstallationInUse("a shop is running")), "a shop is running");
    assert.equal(explained(new Error("No space is left on the disk")), "No space is left on the disk");
    assert.equal(explained(new TypeError("x is undefined")), undefined);
    assert.equal(explained(Object.assign(new Error("connect"), { code: "ECONNREFUSED", port: 5432 })), undefined);
  });
});
