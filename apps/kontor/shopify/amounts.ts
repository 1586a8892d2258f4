/** A cell's value, or the end of a sentence about what is wrong with it. */
export type Read<Value> = { readonly value: Value } | { readonly problem: string };

/** What a cell's number is read by. */
export interface NumberForm {
  /** Whether "9,90" has a decimal comma: in files that are not separated by commas. "9.90" is read in every file. */
  readonly decimalComma: boolean;
}

/**
 * A number with a decimal point, from one with a decimal comma where the file may have those. Text that is no number stays as it is; what could be a
 * decimal as well as a thousands separator ("1.234", "1,234") is a problem, because a wrong guess is wrong a thousand times over.
 */
export function pointed(text: string, { decimalComma }: NumberForm): Read<string> {
  if (!decimalComma) return { value: text };
  if (/^-?[\d.,]+$/.test(text) && text.includes(",") && !/^-?\d+,\d+$/.test(text))
    return { problem: `"${text.slice(0, 40)}" mixes commas and points: write it with one decimal comma and without thousands separators` };
  if (/^-?[1-9]\d{0,2}(\.\d{3}|,\d{3})+$/.test(text))
    return { problem: `"${text.slice(0, 40)}" could mean thousands or decimals: write it without thousands separators, with two decimals` };
  return { value: text.replace(/^(-?\d+),(\d+)$/, "$1.$2") };
}
