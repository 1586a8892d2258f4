// oxlint-disable-next-line no-restricted-globals -- where a text is cut differs by version at most by a new emoji, and no value follows from it
const characters = new Intl.Segmenter("en", { granularity: "grapheme" });

/** The beginning of a text with at most so many code points, cut between what a reader sees as characters; the text itself where it fits. */
export function fitted(text: string, lengthMax: number): string {
  if (text.length <= lengthMax) return text;
  let length = 0;
  for (const { segment, index } of characters.segment(text)) {
    length += lengthOf(segment);
    if (length > lengthMax) return text.slice(0, index).trimEnd();
  }
  return text;
}

/** How many code points a text has, which is what the contract's limits count. */
export function lengthOf(text: string): number {
  let length = 0;
  for (const _ of text) length++;
  return length;
}
