import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { it } from "node:test";
import { fileURLToPath } from "node:url";
import { testFolder } from "@kontor/platform/testing/server.ts";

const main = fileURLToPath(new URL("./main.ts", import.meta.url));

it("a command whose reader ends first, as with `| head -1`, ends with its own exit code and without an error", async () => {
  const env = { ...process.env, KONTOR_DATA: join(await testFolder(), "none") };
  const doctor = async (read: "all" | "first") => {
    const child = spawn(process.execPath, [main, "doctor"], { env, stdio: ["ignore", "pipe", "pipe"] });
    let errors = "";
    child.stderr.on("data", (chunk: Buffer) => (errors += chunk.toString()));
    if (read === "all") child.stdout.resume();
    else child.stdout.once("data", () => child.stdout.destroy());
    const [code] = (await once(child, "close")) as [number | null];
    return { code, errors };
  };
  assert.deepEqual(await doctor("first"), await doctor("all"));
});
