/** The columns of Shopify that are read, with their names in its exports and templates over the years. Case does not matter. */
const names = {
  handle: ["Handle", "URL handle"],
  title: ["Title"],
  description: ["Body (HTML)", "Body HTML", "Description"],
  vendor: ["Vendor"],
  category: ["Product Category", "Standardized Product Type"],
  type: ["Type", "Custom Product Type"],
  tags: ["Tags"],
  published: ["Published", "Published on online store"],
  status: ["Status"],
  option1Name: ["Option1 Name"],
  option1Value: ["Option1 Value"],
  option2Name: ["Option2 Name"],
  option2Value: ["Option2 Value"],
  option3Name: ["Option3 Name"],
  option3Value: ["Option3 Value"],
  sku: ["Variant SKU", "SKU"],
  price: ["Variant Price", "Price"],
  currency: ["Currency", "Variant Price Currency"],
  compareAtPrice: ["Variant Compare At Price", "Compare-at price"],
  quantity: ["Variant Inventory Qty", "Inventory quantity"],
  tracker: ["Variant Inventory Tracker", "Inventory tracker"],
  policy: ["Variant Inventory Policy", "Continue selling when out of stock"],
  barcode: ["Variant Barcode", "Barcode"],
  grams: ["Variant Grams", "Weight value (grams)"],
  weight: ["Variant Weight"],
  weightUnit: ["Variant Weight Unit", "Weight unit for display"],
  image: ["Image Src", "Product image URL"],
  imagePosition: ["Image Position"],
  imageAlt: ["Image Alt Text"],
  variantImage: ["Variant Image", "Variant image URL"],
} as const;

const required = ["handle", "title", "price"] as const;

export type Column = keyof typeof names;

/** The columns of a file. */
export interface Columns {
  /** The cell of a row without spaces around it; "" when the file has no such column or the row ends before it. */
  of(cells: readonly string[], column: Column): string;
  has(column: Column): boolean;
  /** The column's name in the file. */
  label(column: Column): string;
  /** The columns with the units of one location each: "Inventory quantity (Berlin)". */
  readonly locations: readonly LocationColumn[];
}

/** A column with the units that a location has. */
export interface LocationColumn {
  readonly label: string;
  of(cells: readonly string[]): string;
}

/** Finds the columns in a file's first row; or says which ones are missing, by the names that Shopify gives them. */
export function findColumns(head: readonly string[]): Columns | { readonly missing: readonly string[] } {
  const indexes = new Map(head.map((name, at) => [name.trim().toLowerCase(), at] as const).toReversed());
  const found = new Map<Column, number>();
  for (const column of Object.keys(names) as Column[]) {
    const index = names[column].map((name) => indexes.get(name.toLowerCase())).find((at) => at !== undefined);
    if (index !== undefined) found.set(column, index);
  }
  const missing = required.filter((column) => !found.has(column)).map((column) => names[column][0]);
  if (missing.length > 0) return { missing };
  const locations = head.flatMap((written, at) => {
    const label = written.trim();
    return /^(Variant Inventory Qty|Inventory quantity)\s*\(.+\)$/i.test(label)
      ? [{ label, of: (cells: readonly string[]) => cells[at]?.trim() ?? "" }]
      : [];
  });
  return {
    locations,
    of: (cells, column) => cells[found.get(column) ?? -1]?.trim() ?? "",
    has: (column) => found.has(column),
    label: (column) => head[found.get(column) ?? -1]?.trim() ?? names[column][0],
  };
}
