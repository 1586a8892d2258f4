import { byBytes, firstOf } from "./first-of.ts";
import { NumberLists } from "./number-lists.ts";
import { absentNumber, boundsOf } from "./numbers.ts";
import type { SearchQuery } from "./search.ts";
import { plain } from "./terms.ts";

/** What a copy holds of a document: all but its texts. */
export interface CopiedDocument {
  readonly id: string;
  /** Names this content of the document. */
  readonly written: number;
  readonly titleWords: number;
  readonly keywords: Readonly<Record<string, readonly string[]>>;
  /** Each list in order. */
  readonly numbers: Readonly<Record<string, readonly number[]>>;
}

interface Keyword {
  readonly values: string[];
  readonly numberOf: Map<string, number>;
  readonly lists: NumberLists;
}

const none = new Uint32Array(0);
/** Stands for the content of a slot without a document. */
const freed = -1;

/** The documents of an index in memory, in columns: each has a slot, and a keyword's values are numbered. */
export class CopiedDocuments {
  readonly #slots = new Map<string, number>();
  readonly #slotsByWritten = new Map<number, number>();
  readonly #ids: string[] = [];
  readonly #written: number[] = [];
  readonly #titleWords: number[] = [];
  readonly #free: number[] = [];
  readonly #keywords = new Map<string, Keyword>();
  readonly #numbers = new Map<string, NumberLists>();
  #values = 0;

  get size(): number {
    return this.#slots.size;
  }

  /** How many values of keywords it knows; those that no document has any longer are among them. */
  get values(): number {
    return this.#values;
  }

  /** All slots are below it. */
  get slotsEnd(): number {
    return this.#ids.length;
  }

  put({ id, written, titleWords, keywords, numbers }: CopiedDocument): void {
    this.delete(id);
    const slot = this.#free.pop() ?? this.#ids.length;
    this.#slots.set(id, slot);
    this.#slotsByWritten.set(written, slot);
    this.#ids[slot] = id;
    this.#written[slot] = written;
    this.#titleWords[slot] = titleWords;
    for (const [name, values] of Object.entries(keywords)) {
      const keyword = this.#keyword(name);
      keyword.lists.set(
        slot,
        values.map((value) => this.#valueNumber(keyword, value)),
      );
    }
    for (const [name, list] of Object.entries(numbers)) {
      let lists = this.#numbers.get(name);
      if (lists === undefined) this.#numbers.set(name, (lists = new NumberLists()));
      lists.set(slot, list);
    }
  }

  delete(id: string): void {
    const slot = this.#slots.get(id);
    if (slot === undefined) return;
    this.#slots.delete(id);
    this.#slotsByWritten.delete(this.#written[slot]!);
    this.#written[slot] = freed;
    this.#free.push(slot);
    for (const { lists } of this.#keywords.values()) lists.set(slot, []);
    for (const lists of this.#numbers.values()) lists.set(slot, []);
  }

  all(): Uint32Array {
    const slots = new Uint32Array(this.#slots.size);
    let count = 0;
    for (let slot = 0; slot < this.#written.length; slot++) if (this.#written[slot] !== freed) slots[count++] = slot;
    return slots;
  }

  /** The slots of documents by the numbers that name their content, as decimals with commas; -1 for one that is not there. */
  written(decimals: string): Int32Array {
    const slots = new Int32Array(decimals === "" ? 0 : decimals.length / 2 + 1);
    let count = 0;
    for (let at = 0; at < decimals.length; at++) {
      let written = 0;
      for (let digit = decimals.charCodeAt(at) - 48; digit >= 0; digit = decimals.charCodeAt(++at) - 48) written = written * 10 + digit;
      slots[count++] = this.#slotsByWritten.get(written) ?? -1;
    }
    return slots.subarray(0, count);
  }

  /** Of these, those that the query's keywords and ranges let through. */
  filter(slots: Uint32Array, { keywords = {}, ranges = {} }: SearchQuery): Uint32Array {
    let left = slots;
    for (const [name, values] of Object.entries(keywords)) {
      const keyword = this.#keywords.get(name);
      if (keyword === undefined) return none;
      const wanted = new Uint8Array(keyword.values.length);
      for (const value of values) {
        const number = keyword.numberOf.get(plain(value));
        if (number !== undefined) wanted[number] = 1;
      }
      left = keyword.lists.withAny(left, (number) => wanted[number] === 1);
    }
    for (const [name, range] of Object.entries(ranges)) {
      const { from, to } = boundsOf(range);
      left = this.#numbers.get(name)?.withAny(left, (number) => number >= from && number <= to) ?? none;
    }
    return left;
  }

  /** The values that most of these have of a keyword, and how many have each. */
  facet(slots: Uint32Array, name: string, valuesMax: number): { readonly value: string; readonly count: number }[] {
    const { lists, values } = this.#keywords.get(name) ?? {};
    if (lists === undefined || values === undefined) return [];
    const counts = lists.counts(slots, values.length);
    const found: number[] = [];
    for (let number = 0; number < counts.length; number++) if (counts[number]! > 0) found.push(number);
    const most = firstOf(found, (one, other) => counts[other]! - counts[one]! || byBytes(values[one]!, values[other]!), valuesMax);
    return most.map((number) => ({ value: values[number]!, count: counts[number]! }));
  }

  idOf(slot: number): string {
    return this.#ids[slot]!;
  }

  titleWordsOf(slot: number): number {
    return this.#titleWords[slot]!;
  }

  /** What documents sort by, ascending: a descending number is negated. */
  sortKey({ by, descending }: { readonly by: string; readonly descending: boolean }): (slot: number) => number {
    const lists = this.#numbers.get(by);
    return (slot) => {
      const least = lists?.first(slot);
      if (least === undefined) return absentNumber;
      return descending ? -least : least;
    };
  }

  #keyword(name: string): Keyword {
    let keyword = this.#keywords.get(name);
    if (keyword === undefined) this.#keywords.set(name, (keyword = { values: [], numberOf: new Map(), lists: new NumberLists() }));
    return keyword;
  }

  #valueNumber({ values, numberOf }: Keyword, value: string): number {
    let number = numberOf.get(value);
    if (number !== undefined) return number;
    number = values.push(value) - 1;
    numberOf.set(value, number);
    this.#values++;
    return number;
  }
}
