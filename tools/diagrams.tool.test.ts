import assert from "node:assert/strict";
import { globSync } from "node:fs";
import { basename } from "node:path";
import { describe, it } from "node:test";
import { loadDiagrams } from "./diagrams.ts";
import { blocks, pages } from "./markdown.ts";
import { file, root } from "./sources.ts";

const services = globSync("services/*/", { cwd: root }).map((folder) => basename(folder));
const readDiagram = await loadDiagrams();

describe("diagrams", () => {
  it("DOC-03: every diagram can be drawn, and shows what there is", async () => {
    const known = new Set([...services, "gateway", "shopper", "provider"]);
    let count = 0;
    for (const page of pages())
      for (const block of blocks(page, "mermaid")) {
        const { nodes } = await readDiagram(block);
        // What is no service of ours is introduced by a label.
        const strangers = [...nodes].filter(([id, label]) => !known.has(label) && (id === label || block.startsWith("sequence")));
        assert.deepEqual(strangers, [], page.path);
        count++;
      }
    assert.ok(count >= 3);
  });

  it("DOC-03: the overview shows every service", async () => {
    const overview = await readDiagram(blocks(file("docs/architecture.md"), "mermaid")[0] ?? "");
    assert.deepEqual(
      services.filter((service) => !overview.nodes.has(service)),
      [],
    );
  });

  it("DOC-03: what Mermaid would not draw fails", async () => {
    await readDiagram("flowchart LR\n a([x y]) -->|z| b & c\n b -. events .-> c\n a <-->|HTTP, signed| d{e}");
    for (const bad of ["flowchart LR\n a -->", "flowchart LR\n a --> end", "sequenceDiagram\n participant A\n A->>A: x; y", "pie\n a"])
      await assert.rejects(readDiagram(bad), bad);
  });
});
