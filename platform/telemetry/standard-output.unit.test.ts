import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { it } from "node:test";
import { fileURLToPath } from "node:url";

const logger = fileURLToPath(new URL("./create-logger.ts", import.meta.url));

/** A process that logs so many lines and exits at once. */
function logging(lines: number, before = "") {
  const script = `import { createLogger } from ${JSON.stringify(logger)};
    const log = createLogger({ service: "test", format: "json" });
    ${before}
    for (let nth = 0; nth < ${lines}; nth++) log.info({ nth }, "line");
    process.exit(3);`;
  return spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: ["pipe", "pipe", "inherit"] });
}

it("all lines are written when the process exits at once, in order", async () => {
  const child = logging(20_000);
  let text = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
  const [code] = (await once(child, "close")) as [number | null];
  const numbers = text
    .trimEnd()
    .split("\n")
    .map((line) => (JSON.parse(line) as { nth: number }).nth);
  assert.deepEqual([code, numbers.length, numbers.every((nth, at) => nth === at)], [3, 20_000, true]);
});

it("a process whose reader has ended exits, with its own code", async () => {
  const child = logging(2, `await new Promise((resolve) => process.stdin.on("end", resolve).resume());`);
  child.stdout.destroy();
  child.stdin.end();
  const [code] = (await once(child, "exit")) as [number | null];
  assert.equal(code, 3);
});
