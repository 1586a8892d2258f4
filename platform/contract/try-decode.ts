/** Decodes stored bytes; undefined when they are no such message, which the caller reports with the id of what they belong to. */
export function tryDecode<T>(decode: () => T): T | undefined {
  try {
    return decode();
  } catch {
    return undefined;
  }
}
