import { readdirSync, readFileSync } from "node:fs";

// What Linux counts CPU time in.
const ticksPerSecond = 100;

interface Stat {
  readonly parent: number;
  /** Of the process and of its children that have ended, in seconds. */
  readonly cpuSeconds: number;
}

/** The processes below these, themselves included. */
export function familyOf(roots: readonly number[]): number[] {
  const stats = new Map<number, Stat>();
  for (const entry of readdirSync("/proc")) if (/^\d+$/.test(entry)) addStat(stats, Number(entry));
  const family = new Set(roots.filter((pid) => stats.has(pid)));
  for (let before = -1; before !== family.size;) {
    before = family.size;
    for (const [pid, { parent }] of stats) if (family.has(parent)) family.add(pid);
  }
  return [...family];
}

/** CPU seconds that the family has used so far, those of ended children included. */
export function cpuSeconds(roots: readonly number[]): number {
  const stats = new Map<number, Stat>();
  for (const pid of familyOf(roots)) addStat(stats, pid);
  return [...stats.values()].reduce((sum, stat) => sum + stat.cpuSeconds, 0);
}

/** The same by what each process says it is: its KONTOR_INSTANCE, or "PostgreSQL". */
export function cpuSecondsByName(roots: readonly number[]): Map<string, number> {
  const byName = new Map<string, number>();
  for (const pid of familyOf(roots)) {
    const stats = new Map<number, Stat>();
    addStat(stats, pid);
    const name = instanceOf(pid);
    byName.set(name, (byName.get(name) ?? 0) + (stats.get(pid)?.cpuSeconds ?? 0));
  }
  return byName;
}

function instanceOf(pid: number): string {
  try {
    const [program = ""] = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
    if (program.includes("postgres")) return "PostgreSQL";
    return /(?:^|\0)KONTOR_INSTANCE=([^\0]*)/.exec(readFileSync(`/proc/${pid}/environ`, "utf8"))?.[1] ?? "kontor";
  } catch (error) {
    if (gone(error)) return "ended";
    throw error;
  }
}

/** Megabytes that the family holds: proportional set size, so that shared pages count once. */
export function memoryMb(roots: readonly number[]): number {
  let kilobytes = 0;
  for (const pid of familyOf(roots)) kilobytes += pssOf(pid);
  return kilobytes / 1024;
}

function pssOf(pid: number): number {
  try {
    return Number(/^Pss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))?.[1] ?? 0);
  } catch (error) {
    if (gone(error)) return 0;
    throw error;
  }
}

function addStat(stats: Map<number, Stat>, pid: number): void {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    const ticks = [11, 12, 13, 14].reduce((sum, at) => sum + Number(fields[at]), 0);
    stats.set(pid, { parent: Number(fields[1]), cpuSeconds: ticks / ticksPerSecond });
  } catch (error) {
    if (!gone(error)) throw error;
  }
}

/** The process has ended since it was listed. */
function gone(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ESRCH");
}
