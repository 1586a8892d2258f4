import { firstOrder } from "./first-order.scenarios.ts";
import { clusterOnServers, onServers } from "./topologies.ts";

for (const topology of [onServers, clusterOnServers(3)]) firstOrder(topology);
