import { execFile } from "node:child_process";
import { join } from "node:path";
import { describe, it } from "node:test";
import { promisify } from "node:util";

const run = promisify(execFile);
const generate = async (...args: readonly string[]): Promise<void> => {
  await run(process.execPath, [join(import.meta.dirname, "generate.ts"), ...args]);
};

describe("generate", () => {
  it("API-03: what is generated again is what is stored", () => generate("--check"));

  it("API-01: the contracts keep what main promises", () => generate("--breaking"));
});
