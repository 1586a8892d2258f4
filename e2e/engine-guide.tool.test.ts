import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { applyGuide } from "./guide.ts";
import { copyRepository } from "./repository-copy.ts";
import { startTimeout } from "./topologies.ts";

const guide = readFileSync(join(import.meta.dirname, "../docs/guides/adding-an-engine.md"), "utf8");

describe("the guide to adding an engine", () => {
  it("gives an engine that passes its seam's suite and the checks", startTimeout, async () => {
    const copy = copyRepository();
    applyGuide(guide, copy.folder);
    await copy.run("tools/test.ts", "platform/mail/file-mailer.int.test.ts");
    await copy.run("tools/check.ts", "types", "format", "lint", "boundaries", "dependencies");
  });
});
