/** Text that is HTML already. */
export interface Html {
  readonly html: string;
}

/** Writes HTML: every `${value}` is escaped, except what is `Html` itself; lists are joined. */
export function html(strings: TemplateStringsArray, ...values: readonly (string | number | Html | readonly Html[])[]): Html {
  return { html: strings.reduce((all, part, at) => all + written(values[at - 1]!) + part) };
}

function written(value: string | number | Html | readonly Html[]): string {
  if (typeof value === "string" || typeof value === "number") return escapeHtml(String(value));
  return "html" in value ? value.html : value.map((one) => one.html).join("");
}

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
