import { aFew, crashes, many } from "./crash.scenarios.ts";
import { cluster, oneProcess } from "./topologies.ts";

for (const topology of [oneProcess, cluster]) crashes(topology, aFew);
crashes(oneProcess, many);
