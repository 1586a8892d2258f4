/** Text that is HTML already. */
export interface Html {
  readonly html: string;
}

/** What may be in HTML: text, which is escaped, and what is HTML already. */
export type HtmlValue = string | number | Html | readonly Html[];

/** Writes HTML: every `${value}` is escaped, also inside an attribute in quotes, except what is `Html` itself; lists are joined. */
export function html(strings: TemplateStringsArray, ...values: readonly HtmlValue[]): Html {
  return { html: strings.reduce((all, literal, at) => all + written(values[at - 1]!) + literal) };
}

/** A template from a file of ours, with its `{{name}}`s replaced, as `html` does. Throws for a name without a value. */
export function fillTemplate(template: string, values: Readonly<Record<string, HtmlValue>>): Html {
  return {
    html: template.replaceAll(/\{\{(\w+)\}\}/g, (_, name: string) => {
      const value = values[name];
      if (value === undefined) throw new Error(`there is no value for {{${name}}}`);
      return written(value);
    }),
  };
}

function written(value: HtmlValue): string {
  if (typeof value === "string" || typeof value === "number") return escapeHtml(String(value));
  return "html" in value ? value.html : value.map((one) => one.html).join("");
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
