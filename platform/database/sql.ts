import { createHash } from "node:crypto";

/** SQL text with its parameters. The only thing a database runs, so no statement is ever built from strings. */
export interface Sql {
  readonly strings: readonly string[];
  readonly values: readonly unknown[];
}

/** A statement ready to be sent. Equal texts share a name, so that the server plans each of them once per connection. */
export interface Statement {
  readonly name: string;
  readonly text: string;
  readonly values: readonly unknown[];
}

class Fragment implements Sql {
  readonly strings: readonly string[];
  readonly values: readonly unknown[];

  constructor(strings: readonly string[], values: readonly unknown[]) {
    this.strings = strings;
    this.values = values;
  }
}

/**
 * Writes SQL: each `${value}` becomes a parameter, each `${sql`…`}` is put in place.
 *
 *     await database.rows<{ id: string }>(sql`select id from carts where customer = ${customer}`)
 */
export function sql(strings: TemplateStringsArray, ...values: readonly unknown[]): Sql {
  return new Fragment(strings, values);
}

/** Joins fragments, by default with commas. */
sql.join = (parts: readonly Sql[], separator: Sql = comma): Sql => {
  const first = parts[0];
  if (first === undefined) throw new Error("sql.join needs at least one part");
  const values: unknown[] = [first];
  for (const part of parts.slice(1)) values.push(separator, part);
  return new Fragment(
    Array.from({ length: values.length + 1 }, () => ""),
    values,
  );
};

// A function's own name cannot be assigned to until this.
Object.defineProperty(sql, "name", { writable: true });

/** An identifier (table, column, role), quoted. */
sql.name = (name: string): Sql => new Fragment([`"${name.replaceAll('"', '""')}"`], []);

/** A text literal, quoted, for statements that take no parameters (DDL). */
sql.literal = (text: string): Sql => {
  if (text.includes("\\") || text.includes("\0")) throw new Error("a literal may hold no backslash and no NUL");
  return new Fragment([`'${text.replaceAll("'", "''")}'`], []);
};

/** A whole script from a file of the project: a migration. */
sql.script = (text: string): Sql => new Fragment([text], []);

const comma = new Fragment([", "], []);
const flatTexts = new WeakMap<readonly string[], { text: string; name: string }>();
const names = new Map<string, string>();

/** Puts fragments in place and numbers the parameters. A template without fragments is assembled once. */
export function compile(query: Sql): Statement {
  if (!query.values.some((value) => value instanceof Fragment)) {
    let flat = flatTexts.get(query.strings);
    if (flat === undefined) {
      const text = query.strings.reduce((all, part, at) => `${all}$${at}${part}`);
      flatTexts.set(query.strings, (flat = { text, name: nameOf(text) }));
    }
    return { ...flat, values: query.values };
  }
  const values: unknown[] = [];
  const assemble = ({ strings, values: inner }: Sql): string => {
    let text = strings[0] ?? "";
    for (const [at, value] of inner.entries()) {
      text += value instanceof Fragment ? assemble(value) : `$${values.push(value)}`;
      text += strings[at + 1] ?? "";
    }
    return text;
  };
  const text = assemble(query);
  return { name: nameOf(text), text, values };
}

function nameOf(text: string): string {
  let name = names.get(text);
  if (name === undefined) names.set(text, (name = createHash("sha256").update(text).digest("base64url").slice(0, 20)));
  return name;
}
