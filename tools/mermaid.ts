/** A diagram as far as it was understood: what is in it, and which lines are none that Mermaid would draw. */
export interface Diagram {
  /** A flowchart's nodes by their ids, a sequence's participants; each with its label, which is the id where there is none. */
  readonly nodes: ReadonlyMap<string, string>;
  readonly problems: readonly string[];
}

/** Reads the flowcharts and sequence diagrams that pages of ours have: a part of the language, so that a mistake shows without a browser. */
export function readDiagram(text: string): Diagram {
  const [header = "", ...lines] = text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("%%"));
  if (/^(flowchart|graph) (LR|RL|TB|TD|BT)$/.test(header)) return readFlowchart(lines);
  if (header === "sequenceDiagram") return readSequence(lines);
  return { nodes: new Map(), problems: [`"${header}" begins no diagram that is known here`] };
}

const arrow = /\s*(?:<?--[->]|<?-\.+->|<?==+>|<?-\. [^.|]+ \.->)(?:\|[^|]+\|)?\s*/y;
const node = /\s*([A-Za-z][\w-]*)(?:\(\[([^\][()]+)\]\)|\[\(([^\][()]+)\)\]|\(\(([^()]+)\)\)|\[([^\][]+)\]|\(([^()]+)\)|\{([^{}]+)\})?\s*/y;
const reserved = /^(end|graph|flowchart|subgraph|style|class|default)$/;

function readFlowchart(lines: readonly string[]): Diagram {
  const nodes = new Map<string, string>();
  const problems: string[] = [];
  for (const line of lines) {
    let at = 0;
    let whole = true;
    const take = (pattern: RegExp): RegExpExecArray | null => {
      pattern.lastIndex = at;
      const match = pattern.exec(line);
      if (match !== null) at = pattern.lastIndex;
      return match;
    };
    do {
      do {
        const [, id, ...labels] = take(node) ?? [];
        whole = id !== undefined && !reserved.test(id);
        if (id === undefined || !whole) break;
        const label = labels.find((each) => each !== undefined);
        if (label !== undefined || !nodes.has(id)) nodes.set(id, label ?? id);
      } while (take(/&/y) !== null);
    } while (whole && take(arrow) !== null);
    if (!whole || at < line.length) problems.push(line);
  }
  return { nodes, problems };
}

function readSequence(lines: readonly string[]): Diagram {
  const nodes = new Map<string, string>();
  const problems: string[] = [];
  let open = 0;
  for (const line of lines) {
    // Mermaid ends a statement at a semicolon, wherever it stands.
    if (line.includes(";")) problems.push(line);
    const participant = /^(?:participant|actor) (\w+)(?: as (.+))?$/.exec(line);
    if (participant !== null) nodes.set(participant[1]!, participant[2] ?? participant[1]!);
    else if (/^(?:alt|opt|loop|par|critical|break|rect) .+$/.test(line)) open++;
    else if (/^(?:else|and|option)\b/.test(line) && open > 0) continue;
    else if (line === "end" && open > 0) open--;
    else {
      const [, from, to] =
        /^(\w+)--?(?:>>?|x|\))[+-]?(\w+): .+$/.exec(line) ?? /^Note (?:over|left of|right of) (\w+)(?:,(\w+))?: .+$/.exec(line) ?? [];
      if (from === undefined || !nodes.has(from) || (to !== undefined && !nodes.has(to))) problems.push(line);
    }
  }
  if (open > 0) problems.push(`${open} blocks are not ended`);
  return { nodes, problems };
}
