import { firstOrder } from "./first-order.scenarios.ts";
import { cluster, oneProcess, overGrpc } from "./topologies.ts";

for (const topology of [oneProcess, overGrpc, cluster]) firstOrder(topology);
