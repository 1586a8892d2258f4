import type { Output } from "../command.ts";

/** How far a long piece of work is: a bar that moves on a terminal, a line every few seconds anywhere else. */
export interface Progress {
  /** `part` of the whole, 0 to 1; `count` of what is counted. */
  at(part: number, count: number): void;
  /** Clears the bar, so that what is written next has the line to itself. */
  end(): void;
}

const barWidth = 24;
const drawEveryMs = 100;
const lineEveryMs = 5_000;

/** Draws on `output`. `noun` says what is counted: "products". */
export function createProgress(output: Output, noun: string, now: () => number = () => performance.now()): Progress {
  const terminal = output.isTTY === true;
  const startedMs = now();
  let drawnMs = terminal ? Number.NEGATIVE_INFINITY : startedMs;
  let drawn = false;
  return {
    at(part, count) {
      const nowMs = now();
      if (nowMs - drawnMs < (terminal ? drawEveryMs : lineEveryMs)) return;
      drawnMs = nowMs;
      const share = Math.min(1, Math.max(0, part));
      const percent = `${Math.floor(share * 100)} %`;
      const perSecond = Math.round((count * 1_000) / Math.max(1, nowMs - startedMs));
      const counted = `${count.toLocaleString("en")} ${noun}`;
      if (!terminal) {
        output.write(`${percent}  ${counted}\n`);
        return;
      }
      const full = Math.round(share * barWidth);
      const line = `${"█".repeat(full)}${"░".repeat(barWidth - full)} ${percent.padStart(5)}  ${counted}  ${perSecond.toLocaleString("en")}/s`;
      output.write(`\r${line.slice(0, (output.columns ?? 80) - 1)}\u001b[K`);
      drawn = true;
    },
    end() {
      if (drawn) output.write("\r\u001b[K");
      drawn = false;
    },
  };
}
