import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { fillTemplate, html } from "./html.ts";

describe("html", () => {
  const hostile = `<script>"'&`;
  const escaped = "&#60;script&#62;&#34;&#39;&#38;";

  it("escapes text, in elements and attributes, but not what is HTML already", () => {
    const link = html`<a title="${hostile}">${hostile}</a>`;
    assert.equal(link.html, `<a title="${escaped}">${escaped}</a>`);
    assert.equal(html`<p>${link} ${1} ${[link, link]}</p>`.html, `<p>${link.html} 1 ${link.html}${link.html}</p>`);
  });

  it("fills the names of a template in the same way, and refuses one without a value", () => {
    const filled = fillTemplate("<p>{{text}} {{ text }} {{markup}}{{markup}}</p>", { text: hostile, markup: html`<br>` });
    assert.equal(filled.html, `<p>${escaped} {{ text }} <br><br></p>`);
    assert.equal(fillTemplate("{{text}}", { text: "{{other}} $&" }).html, "{{other}} $&#38;", "a value is not a template");
    assert.throws(() => fillTemplate("{{missing}}", {}), /no value for \{\{missing\}\}/);
  });
});
