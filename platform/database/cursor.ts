import { refuse } from "../errors/refusal.ts";

/** The year 10,000. */
const timeMsMax = 253_402_300_800_000;

/** What a sort value may be: PostgreSQL takes no NUL in a text, and refuses numbers and times that its types cannot hold. */
const kinds = {
  text: (value: unknown): boolean => typeof value === "string" && !value.includes("\0"),
  id: (value: unknown): boolean => typeof value === "string" && /^\w{1,60}$/.test(value),
  int32: (value: unknown): boolean => typeof value === "number" && (value | 0) === value,
  integer: (value: unknown): boolean => Number.isSafeInteger(value),
  timeMs: (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) < timeMsMax,
} as const;

export type SortKind = keyof typeof kinds;
type SortValue<Kind extends SortKind> = Kind extends "text" | "id" ? string : number;
export type SortValues<Kinds extends readonly SortKind[]> = { readonly [K in keyof Kinds]: SortValue<Kinds[K]> };

/** A request for a page: how many items, 20 when `limit` is 0, after which ones. */
export interface PageRequest {
  readonly limit: number;
  /** The `nextCursor` of the page before; "" for the first one. */
  readonly cursor: string;
}

export interface Page<Item> {
  readonly items: Item[];
  /** Absent on the last page. */
  readonly nextCursor?: string;
}

/** A list that is read page by page: its order must be total, so that the sort values of an item say what comes after it. */
export interface PagedList<Item, Kinds extends readonly SortKind[]> {
  readonly sortedBy: Kinds;
  readonly valuesOf: (item: Item) => SortValues<Kinds>;
  /** Reads the first `limit` items, or those after the item with these sort values. */
  readonly read: (after: SortValues<Kinds> | undefined, limit: number) => Promise<Item[] | Walked<Item, Kinds>>;
}

/** The items that a bounded search has found, and how far it has come when it was not done: the next page goes on from there. */
export interface Walked<Item, Kinds extends readonly SortKind[]> {
  readonly items: Item[];
  readonly to?: SortValues<Kinds> | undefined;
}

/** Reads a page of a list, and one item more, which shows whether another page follows, unless a bounded search says so. Refuses with INVALID_CURSOR when the cursor is none of this list's. */
export async function readPage<Item, const Kinds extends readonly SortKind[]>(
  request: PageRequest,
  list: PagedList<Item, Kinds>,
): Promise<Page<Item>> {
  const { sortedBy, valuesOf } = list;
  const limit = pageSize(request.limit);
  const read = await list.read(decodeCursor(request.cursor, sortedBy), limit + 1);
  const { items: found, to }: Walked<Item, Kinds> = Array.isArray(read) ? { items: read } : read;
  if (found.length <= limit) return { items: found, ...(to !== undefined && { nextCursor: encodeCursor(to) }) };
  const items = found.slice(0, limit);
  return { items, nextCursor: encodeCursor(valuesOf(items.at(-1)!)) };
}

/** How many items a page has: `limit`, 20 when it is 0. */
export function pageSize(limit: number): number {
  return limit === 0 ? 20 : limit;
}

export function invalidCursor(cause?: unknown): Error {
  return refuse({
    reason: "INVALID_CURSOR",
    code: "invalid_argument",
    message: "The cursor is not one of this list",
    fields: [{ field: "cursor", reason: "INVALID", message: "take it from nextCursor, unchanged" }],
    cause,
  });
}

function encodeCursor(values: readonly (string | number)[]): string {
  return Buffer.from(JSON.stringify(values)).toString("base64url");
}

function decodeCursor<Kinds extends readonly SortKind[]>(cursor: string, sortedBy: Kinds): SortValues<Kinds> | undefined {
  if (cursor === "") return undefined;
  const values = parse(cursor);
  if (!Array.isArray(values) || values.length !== sortedBy.length || !sortedBy.every((kind, nth) => kinds[kind](values[nth])))
    throw invalidCursor();
  return values as unknown as SortValues<Kinds>; // each is of its kind
}

function parse(cursor: string): unknown {
  try {
    return JSON.parse(Buffer.from(cursor, "base64url").toString());
  } catch (error) {
    throw invalidCursor(error);
  }
}
