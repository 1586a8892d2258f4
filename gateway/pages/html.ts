/** Text that is HTML already. */
export type Html = string;

const entities: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

/** Plain text as HTML, also inside an attribute. */
export function text(plain: string): Html {
  return plain.replaceAll(/[&<>"']/g, (char) => entities[char]!);
}

/** A template with its {{holes}} filled. Throws for a hole that nothing is given for. */
export function fill(template: Html, values: Readonly<Record<string, Html>>): Html {
  return template.replaceAll(/\{\{(\w+)\}\}/g, (_, name: string) => {
    const value = values[name];
    if (value === undefined) throw new Error(`nothing is given for {{${name}}}`);
    return value;
  });
}
