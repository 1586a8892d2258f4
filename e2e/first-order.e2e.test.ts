import { firstOrder } from "./first-order.scenarios.ts";
import { cluster, oneProcess, overGrpc, overHttp } from "./topologies.ts";

for (const topology of [oneProcess, overGrpc, overHttp, cluster]) firstOrder(topology);
