import { connect, createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { afterTests } from "../testing/postgres.ts";
import type { Connection } from "./connection.ts";

/** A way to a server on which replies can be lost. */
export interface LossyWay {
  readonly connection: Connection;
  /** From now on nothing comes back, though all still goes there. */
  mute(): void;
  /** Replies come again. */
  unmute(): void;
  /** Breaks all connections; new ones work. */
  cut(): void;
}

export async function openLossyWay(connection: Connection): Promise<LossyWay> {
  const sockets = new Set<Socket>();
  let silent = false;
  const proxy = createServer((near) => {
    const far = connect(connection.port, connection.host);
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from);
      from.on("data", (data) => (silent && from === far) || to.write(data));
      from.on("error", () => to.destroy());
      from.on("close", () => {
        sockets.delete(from);
        to.destroy();
      });
    }
  });
  await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  const cut = (): void => {
    silent = false;
    for (const socket of sockets) socket.destroy();
  };
  afterTests(() => {
    proxy.close();
    cut();
  });
  const { port } = proxy.address() as AddressInfo; // of a server that listens on TCP
  return { connection: { ...connection, host: "127.0.0.1", port }, mute: () => (silent = true), unmute: () => (silent = false), cut };
}
