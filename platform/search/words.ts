const wordLengthMax = 64;
const correctableLengthMax = 24;
/** Among how many words a correction chooses. */
export const alternativesMax = 8;
const combiningMarks = /[\u0300-\u036f]/g;
const letters: Readonly<Record<string, string>> = { ß: "ss", æ: "ae", œ: "oe", ø: "o", đ: "d", ł: "l", þ: "th", ð: "d", ı: "i" };

/** The words of a text, in order: letters and digits only, lower case, without accents. Apostrophes do not divide ("men's" is "mens"). */
export function wordsOf(text: string): string[] {
  const plain = text
    .normalize("NFKD")
    .replace(combiningMarks, "")
    .toLowerCase()
    .replace(combiningMarks, "") // lower-casing İ makes one
    .replace(/['’]/g, "")
    .replace(/[ßæœøđłþðı]/g, (letter) => letters[letter]!);
  return (plain.match(/[\p{L}\p{N}\p{M}]+/gu) ?? []).map((word) =>
    word.length > wordLengthMax ? word.slice(0, wordLengthMax).replace(/[\ud800-\udbff]$/, "") : word,
  );
}

/** Whether the text is one word, as `wordsOf` gives it. */
export function isWord(text: string): boolean {
  const [word, ...more] = wordsOf(text);
  return word === text && more.length === 0;
}

/** How many typing errors a word may have: none in up to 2 letters, one in up to 5, two in longer ones. */
export function errorsMax(word: string): number {
  if (word.length <= 2 || word.length > correctableLengthMax) return 0;
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
