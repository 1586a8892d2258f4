import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { toolFolder } from "./tool.ts";

/** What is in a diagram: a flowchart's nodes or a sequence's participants by their ids, each with its label, which is the id where it has none. */
export interface Diagram {
  readonly nodes: ReadonlyMap<string, string>;
}

/** As much of Mermaid as is used here. */
interface Mermaid {
  parse(text: string): Promise<unknown>;
  readonly mermaidAPI: { getDiagramFromText(text: string): Promise<{ readonly db: DiagramData }> };
}

interface DiagramData {
  getVertices?(): ReadonlyMap<string, { readonly text?: string }>;
  getActors?(): ReadonlyMap<string, { readonly description: string }>;
}

/** Loads Mermaid's own parser, which is installed first where that has not been done. Its functions throw for what Mermaid would not draw. */
export async function loadDiagrams(): Promise<(text: string) => Promise<Diagram>> {
  const { resolve } = createRequire(join(toolFolder("mermaid"), "package.json"));
  const load = (name: string): Promise<unknown> => import(pathToFileURL(resolve(name)).href);
  // It cleans labels with the browser's own parser.
  const { JSDOM } = (await load("jsdom")) as { readonly JSDOM: new (html: string) => { readonly window: { readonly document: object } } };
  const { window } = new JSDOM("");
  Object.assign(globalThis, { window, document: window.document });
  const { default: mermaid } = (await load("mermaid")) as { readonly default: Mermaid };
  return async (text) => {
    // Loads the kind of diagram, too.
    await mermaid.parse(text);
    const { db } = await mermaid.mermaidAPI.getDiagramFromText(text);
    if (db.getVertices !== undefined) return { nodes: labelled(db.getVertices(), ({ text: label }) => label) };
    return { nodes: labelled(db.getActors?.() ?? new Map(), ({ description }) => description) };
  };
}

function labelled<Node>(nodes: ReadonlyMap<string, Node>, labelOf: (node: Node) => string | undefined): Map<string, string> {
  return new Map(Array.from(nodes, ([id, node]) => [id, labelOf(node) ?? id]));
}
