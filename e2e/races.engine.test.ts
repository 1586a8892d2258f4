import { races } from "./races.scenarios.ts";
import { clusterOnServers } from "./topologies.ts";

races(clusterOnServers(3));
