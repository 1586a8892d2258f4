import { HttpHandler } from "./http-handler.ts";
import { createHttpListener } from "./http-listener.ts";
import type { RpcServer, RpcServerOptions } from "./rpc-server.ts";
import { ServerCalls } from "./server-calls.ts";

/** Serves this process's methods over HTTP/1.1 by Connect's protocol. */
export function createHttpRpcServer(options: RpcServerOptions): RpcServer {
  const calls = new ServerCalls(options);
  const handler = new HttpHandler(options, calls);
  const listener = createHttpListener({
    tls: options.tls,
    handle: (request, response) => void handler.handle(request, response),
    upgrade: (request, socket) => handler.upgrade(request, socket),
  });
  return {
    start(host, port) {
      handler.addMethods();
      return listener.listen(host, port);
    },
    stop: () => calls.stop(listener),
  };
}
