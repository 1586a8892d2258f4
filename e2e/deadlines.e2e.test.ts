import { deadlines } from "./deadlines.scenarios.ts";
import { oneProcess, overHttp } from "./topologies.ts";

for (const topology of [oneProcess, overHttp]) deadlines(topology);
