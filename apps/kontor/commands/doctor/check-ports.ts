import { once } from "node:events";
import { createServer } from "node:net";
import type { Configuration } from "../../configuration.ts";
import { portsOf } from "../app/explain-opening.ts";
import type { Check } from "./check.ts";

const responseMs = 2_000;

/** Checks that each port is free, or used by the running shop. */
export function checkPorts(config: Configuration, shopIsRunning: boolean): Promise<Check[]> {
  return Promise.all(
    portsOf(config).map(async ({ port, variable, what }): Promise<Check> => {
      const about = `port ${port}`;
      if (port === 0) return { verdict: "ok", about, text: `the system chooses one for ${what}` };
      const problem = await occupied(port, config.host);
      if (problem === undefined) return { verdict: "ok", about, text: `free for ${what}` };
      const elsewhere = `Free it, or set ${variable} to another one.`;
      if (problem !== "EADDRINUSE")
        return { verdict: "wrong", about, text: `cannot be opened for ${what} (${problem})`, advice: elsewhere };
      const ours = shopIsRunning && (variable !== "KONTOR_PORT" || (await isAlive(config)));
      if (ours) return { verdict: "ok", about, text: `${what} of the running shop` };
      return { verdict: "wrong", about, text: `used by another program, but ${what} needs it`, advice: elsewhere };
    }),
  );
}

async function occupied(port: number, host: string): Promise<string | undefined> {
  const server = createServer();
  try {
    server.listen({ port, host, exclusive: true });
    await once(server, "listening");
    return undefined;
  } catch (error) {
    return error instanceof Error && "code" in error ? String(error.code) : String(error);
  } finally {
    server.close();
  }
}

async function isAlive({ host, port }: Configuration): Promise<boolean> {
  const name = host === "0.0.0.0" || host === "::" ? "localhost" : host;
  return fetch(`http://${name.includes(":") ? `[${name}]` : name}:${port}/livez`, { signal: AbortSignal.timeout(responseMs) }).then(
    ({ ok }) => ok,
    () => false,
  );
}
