/** The heap at one moment of a run, when nothing was under way. */
export interface HeapSample {
  readonly hours: number;
  /** Orders done so far. */
  readonly orders: number;
  readonly heapMb: number;
}

export interface Growth {
  readonly mbPerHour: number;
  readonly kbPerThousandOrders: number;
}

/** How fast the heap grew in the second half of the time, by the line that fits its samples best. Needs two samples there. */
export function growthOf(samples: readonly HeapSample[]): Growth {
  const warm = samples.filter(({ hours }) => hours >= (samples.at(-1)?.hours ?? 0) / 2);
  if (warm.length < 2) throw new Error("the run was too short to say how the heap grows");
  return {
    mbPerHour: slope(warm.map(({ hours, heapMb }) => [hours, heapMb])),
    kbPerThousandOrders: slope(warm.map(({ orders, heapMb }) => [orders / 1_000, heapMb * 1_000])),
  };
}

function slope(points: readonly (readonly [x: number, y: number])[]): number {
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [x, y] = [mean(points.map((point) => point[0])), mean(points.map((point) => point[1]))];
  const [above, below] = points.reduce(
    ([sum, squares], point) => [sum + (point[0] - x) * (point[1] - y), squares + (point[0] - x) ** 2],
    [0, 0],
  );
  return below === 0 ? 0 : above / below;
}
