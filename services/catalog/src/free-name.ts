const candidatesFirst = 10;

/**
 * The name, or the first of "name-2", "name-3" and so on that is free, cut so that it has at most `lengthMax` characters. `takenAmong` says which of
 * some are taken.
 */
export async function freeName(
  name: string,
  lengthMax: number,
  takenAmong: (names: readonly string[]) => Promise<readonly string[]>,
): Promise<string> {
  for (let first = 1, count = candidatesFirst; ; first += count, count *= 10) {
    const candidates = Array.from({ length: count }, (_, at) => numbered(name, first + at, lengthMax));
    const taken = new Set(await takenAmong(candidates));
    const free = candidates.find((candidate) => !taken.has(candidate));
    if (free !== undefined) return free;
  }
}

function numbered(name: string, nth: number, lengthMax: number): string {
  const suffix = nth === 1 ? "" : `-${nth}`;
  return `${name.slice(0, lengthMax - suffix.length).replace(/-$/, "")}${suffix}`;
}
