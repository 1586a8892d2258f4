/** Tags in the middle of words: "<b>W</b>ord" is one. Every other tag divides. */
const inline = new Set(
  "a abbr b bdi bdo big cite code del dfn em font i ins kbd mark q s samp small span strike strong sub sup tt u var wbr".split(" "),
);
/** Elements whose content is no text. */
const unread = new Set(["script", "style", "template", "noscript", "svg", "iframe", "object", "head"]);
/** The names of the characters from U+00A0 on, in their order, and those of punctuation. */
const latin =
  "nbsp iexcl cent pound curren yen brvbar sect uml copy ordf laquo not shy reg macr deg plusmn sup2 sup3 acute micro para middot cedil sup1 ordm raquo frac14 frac12 frac34 iquest Agrave Aacute Acirc Atilde Auml Aring AElig Ccedil Egrave Eacute Ecirc Euml Igrave Iacute Icirc Iuml ETH Ntilde Ograve Oacute Ocirc Otilde Ouml times Oslash Ugrave Uacute Ucirc Uuml Yacute THORN szlig agrave aacute acirc atilde auml aring aelig ccedil egrave eacute ecirc euml igrave iacute icirc iuml eth ntilde ograve oacute ocirc otilde ouml divide oslash ugrave uacute ucirc uuml yacute thorn yuml";
const named: ReadonlyMap<string, string> = new Map([
  ...latin.split(" ").map((name, at) => [name, String.fromCharCode(0xa0 + at)] as const),
  ...Object.entries({
    amp: "&",
    lt: "<",
    gt: ">",
    quot: '"',
    apos: "'",
    ndash: "–",
    mdash: "—",
    hellip: "…",
    bull: "•",
    trade: "™",
    euro: "€",
  }),
  ...Object.entries({
    lsquo: "‘",
    rsquo: "’",
    sbquo: "‚",
    ldquo: "“",
    rdquo: "”",
    bdquo: "„",
    OElig: "Œ",
    oelig: "œ",
    Scaron: "Š",
    scaron: "š",
  }),
]);

/**
 * The text of HTML as a reader sees it: without tags, comments, scripts and styles, with the characters that `&…;` stands for. Takes any text, broken
 * markup too, in time that is linear in its length.
 */
export function textOf(markup: string): string {
  let text = "";
  let at = 0;
  while (at < markup.length) {
    const open = markup.indexOf("<", at);
    if (open < 0) return text + decoded(markup.slice(at));
    text += decoded(markup.slice(at, open));
    const after = tagEnd(markup, open);
    if (after === undefined) {
      text += "<";
      at = open + 1;
      continue;
    }
    const name = /^<\/?([a-z][a-z0-9]*)/i.exec(markup.slice(open, open + 20))?.[1]?.toLowerCase() ?? "";
    if (!inline.has(name)) text += " ";
    at = unread.has(name) && markup[open + 1] !== "/" ? contentEnd(markup, after, name) : after;
  }
  return text;
}

/** Where the tag or comment that begins here has ended; undefined where "<" is only a sign. */
function tagEnd(markup: string, open: number): number | undefined {
  if (markup.startsWith("<!--", open)) return endAfter(markup, "-->", open + 4);
  if (!/[a-z/!?]/i.test(markup[open + 1] ?? "")) return undefined;
  for (let at = open + 1; at < markup.length; at++) {
    const character = markup[at];
    if (character === ">") return at + 1;
    if (character === '"' || character === "'") {
      const close = markup.indexOf(character, at + 1);
      // A quote that is never closed is a sign in the tag.
      if (close >= 0 && markup[at - 1] === "=") at = close;
    }
  }
  return markup.length;
}

function contentEnd(markup: string, from: number, name: string): number {
  const close = new RegExp(`</${name}`, "gi");
  close.lastIndex = from;
  const found = close.exec(markup);
  return found === null ? markup.length : endAfter(markup, ">", found.index);
}

function endAfter(markup: string, end: string, from: number): number {
  const found = markup.indexOf(end, from);
  return found < 0 ? markup.length : found + end.length;
}

function decoded(text: string): string {
  if (!text.includes("&")) return text;
  return text.replace(
    /&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|([a-z][a-z0-9]{1,7}));/gi,
    (whole, decimal?: string, hex?: string, name?: string) => {
      if (name !== undefined) return named.get(name) ?? whole;
      const point = decimal === undefined ? Number.parseInt(hex!, 16) : Number(decimal);
      return point > 0 && point <= 0x10ffff && (point < 0xd800 || point > 0xdfff) ? String.fromCodePoint(point) : "";
    },
  );
}
