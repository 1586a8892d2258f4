import { execFile } from "node:child_process";
import { promisify } from "node:util";

/** The variables with the addresses of the real servers, which a script, Compose or a CI service has started. */
export type EngineVariable =
  | "ENGINE_POSTGRES"
  | "ENGINE_POSTGRES_REPLICA"
  | "ENGINE_POSTGRES_CA"
  | "ENGINE_REDIS"
  | "ENGINE_REDIS_CLUSTER"
  | "ENGINE_RABBITMQ"
  | "ENGINE_RABBITMQ_MANAGEMENT"
  | "ENGINE_RABBITMQ_CLUSTER"
  | "ENGINE_KAFKA"
  | "ENGINE_KAFKA_CLUSTER"
  | "ENGINE_OPENSEARCH"
  | "ENGINE_MONGODB"
  | "ENGINE_TOXIPROXY"
  | "ENGINE_CONTROL";

/** A server's address. Throws, naming the variable, when it is not set: a test that needs a server fails without it. */
export function engineAddress(variable: EngineVariable): string {
  const address = process.env[variable];
  if (address === undefined || address === "")
    throw new Error(`${variable} is not set: npm run test:engines needs real servers; docs/engines.md says how to start them.`);
  return address;
}

/** Kills, freezes, continues or starts one process of an engine, by the command in ENGINE_CONTROL. Resolves when it is done; "start" when it responds. */
export async function controlEngine(action: "kill" | "stop" | "cont" | "start", process: string): Promise<void> {
  await promisify(execFile)(engineAddress("ENGINE_CONTROL"), [action, process], { timeout: 120_000 });
}
