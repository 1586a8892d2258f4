const space = /[ \t\r\n]*/y;
const scalar =
  /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null/y;

/** Where a text stops being JSON, counted from 1. Only for texts that `JSON.parse` has refused. */
export function whereJsonBreaks(text: string): { readonly line: number; readonly column: number } {
  const broken = offsetOf(text);
  const before = text.slice(0, broken);
  const line = before.split("\n").length;
  return { line, column: broken - before.lastIndexOf("\n") };
}

function offsetOf(text: string): number {
  const open: ("{" | "[")[] = [];
  let at = 0;
  let expects: "value" | "first value" | "key" | "first key" | "colon" | "next" = "value";
  for (;;) {
    at += lengthAt(space, text, at);
    const char = text[at];
    if (char === undefined) return at;
    if (expects === "next") {
      const inside = open.at(-1);
      if (char === (inside === "{" ? "}" : "]") && inside !== undefined) open.pop();
      else if (char === "," && inside !== undefined) expects = inside === "{" ? "key" : "value";
      else return at;
      at++;
    } else if (expects === "colon") {
      if (char !== ":") return at;
      expects = "value";
      at++;
    } else if (expects === "key" || expects === "first key") {
      const length = char === '"' ? lengthAt(scalar, text, at) : 0;
      if (length > 0) {
        expects = "colon";
        at += length;
      } else if (char === "}" && expects === "first key") {
        open.pop();
        expects = "next";
        at++;
      } else return at;
    } else if (char === "{" || char === "[") {
      open.push(char);
      expects = char === "{" ? "first key" : "first value";
      at++;
    } else if (char === "]" && expects === "first value") {
      open.pop();
      expects = "next";
      at++;
    } else {
      const length = lengthAt(scalar, text, at);
      if (length === 0) return at;
      expects = "next";
      at += length;
    }
  }
}

function lengthAt(form: RegExp, text: string, at: number): number {
  form.lastIndex = at;
  return form.exec(text)?.[0].length ?? 0;
}
