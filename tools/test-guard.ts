// Loaded into the process of each test file, before the file.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after } from "node:test";

const graceMs = 10_000;

// So that the runner can end it when it stops answering.
const folder = process.env["KONTOR_TEST_PROCESSES"];
if (folder !== undefined) writeFileSync(join(folder, String(process.pid)), process.argv[1] ?? "");

after(() => {
  // Unreferenced: it fires only when something else keeps the process alive.
  setTimeout(() => {
    const open = process.getActiveResourcesInfo().filter((name) => name !== "PipeWrap");
    console.error(`The tests of this file are over, and it does not end: still open are ${open.join(", ")}. Close them in an after hook.`);
    process.exit(1);
  }, graceMs).unref();
});
