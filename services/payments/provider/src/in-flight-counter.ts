/** Counts the requests under way. */
export interface InFlight {
  readonly count: number;
  enter(): void;
  leave(): void;
  /** Resolves when there are none. */
  empty(): Promise<void>;
}

export function inFlightCounter(): InFlight {
  let count = 0;
  const waiting: (() => void)[] = [];
  return {
    get count() {
      return count;
    },
    enter: () => {
      count++;
    },
    leave: () => {
      if (--count === 0) for (const resolve of waiting.splice(0)) resolve();
    },
    empty: () => (count === 0 ? Promise.resolve() : new Promise((resolve) => waiting.push(resolve))),
  };
}
