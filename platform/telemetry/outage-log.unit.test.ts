import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Logger } from "./logger.ts";
import { OutageLog } from "./outage-log.ts";

describe("the log of outages", () => {
  it("has one line when a server becomes unreachable and one when it responds again, for each server", () => {
    const lines: string[] = [];
    const write = (level: string) => (fields: object, message: string) =>
      void lines.push(`${level} ${(fields as { server: string }).server}: ${message}`);
    const log: Logger = { debug: write("debug"), info: write("info"), warn: write("warn"), error: write("error"), child: () => log };
    const outage = new OutageLog({ log, unreachable: "unreachable", reachable: "connected again" });
    outage.reachable("a");
    for (const server of ["a", "a", "b"]) outage.unreachable(server, new Error("refused"));
    assert.deepEqual([outage.has(), outage.has("b"), outage.has("c")], [true, true, false]);
    for (const server of ["a", "a"]) outage.reachable(server);
    outage.clear();
    outage.reachable("b");
    assert.equal(outage.has(), false);
    assert.deepEqual(lines, ["warn a: unreachable", "warn b: unreachable", "info a: connected again"]);
  });
});
