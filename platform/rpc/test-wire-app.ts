import { createInProcessRpc } from "./in-process.ts";
import { implement } from "./rpc.ts";
import type { Clients } from "./rpc.ts";
import { greeterHandlers, GreeterService } from "./test-greeter.ts";
import type { GreeterHandlers } from "./test-greeter.ts";
import { remotesOver, serveOver, silentLog } from "./test-wire.ts";
import type { TestServer, TestServerOptions, WireProtocol } from "./test-wire.ts";

/** A process that serves a greeter. */
export function serveGreeter(
  protocol: WireProtocol,
  handlers: Partial<GreeterHandlers> = {},
  options: Partial<TestServerOptions> = {},
): Promise<TestServer> {
  return serveOver(protocol, { services: { greeter: [implement(GreeterService, { ...greeterHandlers, ...handlers })] }, ...options });
}

/** As a process stops: its server first. */
export async function stopProcess({ server, rpc }: TestServer): Promise<void> {
  await server.stop();
  await rpc.stop();
}

/** What is opened in a test, closed in reverse. */
export class WireApp {
  readonly #protocol: WireProtocol;
  readonly #closing: (() => unknown)[] = [];

  constructor(protocol: WireProtocol) {
    this.#protocol = protocol;
  }

  add(close: () => unknown): void {
    this.#closing.push(close);
  }

  async clients(
    services: Readonly<Record<string, readonly string[]>>,
    onResponse?: (service: string, instance: string) => void,
    caller = "orders",
  ): Promise<Clients> {
    const remotes = await remotesOver(this.#protocol, services, onResponse === undefined ? {} : { onResponse });
    this.add(() => remotes.close());
    return createInProcessRpc({ log: silentLog, remotes }).clientsFor(caller);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const close of this.#closing.toReversed()) await close();
  }
}
