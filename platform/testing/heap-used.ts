import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

type Collect = (options: { readonly type: "major"; readonly execution: "async" }) => Promise<void>;

let collect: Collect | undefined;

/** Bytes of the heap that are still reachable, once what has been settled has run. Takes a moment: everything is collected, thrice. */
export async function heapUsed(): Promise<number> {
  if (collect === undefined) {
    setFlagsFromString("--expose-gc");
    collect = runInNewContext("gc") as Collect;
  }
  for (let round = 0; round < 3; round++) {
    await new Promise((resolve) => setImmediate(resolve));
    await collect({ type: "major", execution: "async" });
  }
  return process.memoryUsage().heapUsed;
}
