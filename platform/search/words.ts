const wordLengthMax = 64;
const correctableLengthMax = 24;
/** Among how many words a correction chooses. */
export const alternativesMax = 8;
const endLengthMin = 5;
const combiningMarks = /[\u0300-\u036f]/g;
const letters: Readonly<Record<string, string>> = { ß: "ss", æ: "ae", œ: "oe", ø: "o", đ: "d", ł: "l", þ: "th", ð: "d", ı: "i" };

/** Letters with their marks, digits, and pictures. */
const word = /[\p{L}\p{N}\p{M}]+|\p{RI}{2}|[\p{Extended_Pictographic}--[©®™]]/gv;
const asciiWord = /[a-z0-9]+/g;
const notAscii = /[\u0080-\uffff]/;
/** Words that hyphens join, of letters only: "Wi-Fi", "T-shirt". */
const compound =
  /(?<![\p{L}\p{N}\p{M}]|[\p{L}\p{N}\p{M}][\-\u2010\u2011])[\p{L}\p{M}]+(?:[\-\u2010\u2011][\p{L}\p{M}]+)+(?![\p{L}\p{N}\p{M}]|[\-\u2010\u2011][\p{L}\p{N}\p{M}])/gv;
/** Letters of scripts that write no spaces between words. */
const unspacedRun =
  /[[\p{L}\p{N}\p{M}]&&[\p{scx=Han}\p{scx=Hiragana}\p{scx=Katakana}\p{scx=Thai}\p{scx=Lao}\p{scx=Khmer}\p{scx=Myanmar}]]+/gv;
const unspaced = new RegExp(unspacedRun, "v");
const letterWithMarks = /[\p{L}\p{N}]\p{M}*|\p{M}+/gu;

/** A word as somebody types it: what a document must have of it, of each any alternative. */
export type TypedWord = readonly string[];

/**
 * The words of a document's text, in order: letters and digits only, lower case, without accents. Apostrophes do not divide ("men's" is "mens").
 * Words that a hyphen joins are there apart and as one. Of scripts without spaces each letter is a word, and each pair of neighbours.
 */
export function wordsOf(text: string): string[] {
  const plain = folded(text);
  if (isAscii(plain)) {
    const words: string[] = plain.match(asciiWord) ?? [];
    return (plain.includes("-") ? [...words, ...(plain.match(compound) ?? []).map(joined)] : words).map(shortened);
  }
  let words: string[] = plain.match(word) ?? [];
  if (isUnspaced(plain)) words = words.flatMap((one) => partsOf(one).flatMap((part) => (isUnspaced(part) ? unspacedWords(part) : [part])));
  return [...words, ...(plain.match(compound) ?? []).map(joined)].map(shortened);
}

/** The words of a text that somebody types to find documents, each once. */
export function typedWordsOf(text: string): TypedWord[] {
  const plain = folded(text);
  const typed = new Map<string, TypedWord>();
  let at = 0;
  const add = (end: number): void => {
    for (const one of plain.slice(at, end).match(word) ?? [])
      for (const part of partsOf(one))
        for (const piece of isUnspaced(part) ? typedPairs(part) : [part]) typed.set(piece, [shortened(piece)]);
  };
  for (const { 0: whole, index } of plain.matchAll(compound)) {
    add(index);
    // "Wi-Fi" finds "wi fi" and "wifi": either word may be the whole.
    for (const part of whole.match(word) ?? []) typed.set(part, [shortened(part), shortened(joined(whole))]);
    at = index + whole.length;
  }
  add(plain.length);
  return [...typed.values()];
}

/** Most texts are, and are read in a third of the time. */
function isAscii(text: string): boolean {
  return !notAscii.test(text);
}

function folded(text: string): string {
  if (isAscii(text)) return text.toLowerCase().replaceAll("'", "");
  return text
    .normalize("NFKD")
    .replace(combiningMarks, "")
    .toLowerCase()
    .replace(combiningMarks, "") // lower-casing İ makes one
    .replace(/['’]/g, "")
    .replace(/[ßæœøđłþðı]/g, (letter) => letters[letter]!);
}

/** Whether the text is a word, as `wordsOf` gives them: of a script without spaces it may be a pair. */
export function isWord(text: string): boolean {
  return wordsOf(text).includes(text);
}

/** A word's runs of one kind of script: with spaces between words, or without. */
function partsOf(one: string): string[] {
  if (!isUnspaced(one)) return [one];
  const parts: string[] = [];
  let at = 0;
  for (const { 0: run, index } of one.matchAll(unspacedRun)) {
    if (index > at) parts.push(one.slice(at, index));
    parts.push(run);
    at = index + run.length;
  }
  if (at < one.length) parts.push(one.slice(at));
  return parts;
}

/** Whether a word has letters of a script without spaces. */
function isUnspaced(one: string): boolean {
  return unspaced.test(one);
}

function unspacedWords(run: string): string[] {
  const all = run.match(letterWithMarks) ?? [];
  return all.flatMap((letter, at) => (at === 0 ? [letter] : [letter, all[at - 1]! + letter]));
}

function typedPairs(run: string): string[] {
  const all = run.match(letterWithMarks) ?? [];
  return all.length <= 1 ? all : all.slice(1).map((letter, at) => all[at]! + letter);
}

function joined(whole: string): string {
  return whole.replace(/[-\u2010\u2011]/g, "");
}

function shortened(one: string): string {
  return one.length > wordLengthMax ? one.slice(0, wordLengthMax).replace(/[\ud800-\udbff]$/, "") : one;
}

/** Whether a typed word is also looked for at the end of longer ones: "mühle" in "Kaffeemühle". */
export function mayEndWords(one: string): boolean {
  return one.length >= endLengthMin && (/^[a-z]+$/.test(one) || (/^\p{L}+$/u.test(one) && !isUnspaced(one)));
}

/** A word from its end to its beginning, so that an index of beginnings finds ends. */
export function reversed(one: string): string {
  return Array.from(one).toReversed().join("");
}

/** How many typing errors a word may have: none in up to 2 letters, in pictures and in scripts without spaces; one in up to 5, two in longer ones. */
export function errorsMax(word: string): number {
  if (word.length <= 2 || word.length > correctableLengthMax || /[\ud800-\udfff]/.test(word) || isUnspaced(word)) return 0;
  return word.length <= 5 ? 1 : 2;
}

/**
 * The forms of a word with up to `errorsMax` letters left out, itself included. Two words that are no more errors apart (a letter added, left out,
 * changed, or two swapped) have one of these in common.
 */
export function deletionsOf(word: string, left: number = errorsMax(word)): Set<string> {
  const all = new Set([word]);
  let longest: Iterable<string> = [word];
  for (let errors = 0; errors < left; errors++) {
    const shorter = new Set<string>();
    for (const form of longest) for (let at = 0; at < form.length; at++) shorter.add(form.slice(0, at) + form.slice(at + 1));
    for (const form of shorter) all.add(form);
    longest = shorter;
  }
  return all;
}

/** How many letters must be added, left out, changed or swapped with their neighbour to make one word of the other. */
export function errorsBetween(one: string, other: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: other.length + 1 }, (_, at) => at);
  for (let row = 1; row <= one.length; row++) {
    const current = [row];
    for (let at = 1; at <= other.length; at++) {
      const same = one[row - 1] === other[at - 1];
      let errors = Math.min(last[at]! + 1, current[at - 1]! + 1, last[at - 1]! + (same ? 0 : 1));
      if (row > 1 && at > 1 && one[row - 1] === other[at - 2] && one[row - 2] === other[at - 1])
        errors = Math.min(errors, beforeLast[at - 2]! + 1);
      current.push(errors);
    }
    beforeLast = last;
    last = current;
  }
  return last[other.length]!;
}

/** Whether others may be corrected to this word: one that is neither very short nor very long, and no number. */
export function isCorrectable(word: string): boolean {
  return errorsMax(word) > 0 && !/^\p{N}+$/u.test(word);
}

/** Of other words, those that are the fewest errors away from a word, and no more than it may have: the first eight by alphabet. */
export function nearest(word: string, others: readonly string[]): string[] {
  const measured = others.map((one) => ({ one, errors: errorsBetween(word, one) })).filter(({ errors }) => errors <= errorsMax(word));
  const least = Math.min(...measured.map(({ errors }) => errors));
  return measured
    .filter(({ errors }) => errors === least)
    .map(({ one }) => one)
    .toSorted()
    .slice(0, alternativesMax);
}
