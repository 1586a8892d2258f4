import { races } from "./races.scenarios.ts";
import { oneProcess, replicas } from "./topologies.ts";

for (const topology of [oneProcess, replicas(2)]) races(topology);
