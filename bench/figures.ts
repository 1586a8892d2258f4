import { appendFileSync } from "node:fs";

export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
}

/** Collects figures, prints each as it comes, and writes them as JSON lines when a file is named. */
export class Figures {
  readonly all: Figure[] = [];
  readonly #file: string | undefined;

  constructor(file: string | undefined) {
    this.#file = file;
  }

  add(name: string, value: number, unit: string): void {
    const figure = { name, value: Number(value.toPrecision(4)), unit };
    this.all.push(figure);
    console.log(`${name.padEnd(34)} ${String(figure.value).padStart(10)} ${unit}`);
    if (this.#file !== undefined) appendFileSync(this.#file, `${JSON.stringify(figure)}\n`);
  }
}

/** The value below which so many of the sorted samples lie. */
export function percentile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}
