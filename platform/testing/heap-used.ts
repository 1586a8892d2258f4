import { getHeapSpaceStatistics, setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

type Collect = (options: { readonly type: "major"; readonly execution: "async" }) => Promise<void>;

/** Where V8 stores compiled code, which grows and shrinks with the functions that are hot. */
const codeSpaces = /^(?:code|code_large_object|trusted|trusted_large_object|read_only)_space$/;

let collect: Collect | undefined;

/**
 * Bytes of the reachable objects, after pending callbacks have run; compiled code does not count. It collects garbage three times.
 */
export async function heapUsed(): Promise<number> {
  if (collect === undefined) {
    setFlagsFromString("--expose-gc");
    collect = runInNewContext("gc") as Collect;
  }
  for (let round = 0; round < 3; round++) {
    await new Promise((resolve) => setImmediate(resolve));
    await collect({ type: "major", execution: "async" });
  }
  return getHeapSpaceStatistics().reduce((sum, space) => (codeSpaces.test(space.space_name) ? sum : sum + space.space_used_size), 0);
}
