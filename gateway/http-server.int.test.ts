import assert from "node:assert/strict";
import { once } from "node:events";
import type { ServerResponse } from "node:http";
import { connect } from "node:net";
import { describe, it } from "node:test";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";
import { createHttpServer } from "./http-server.ts";

const nothing = () => undefined;
const silentLog: Logger = { debug: nothing, info: nothing, warn: nothing, error: nothing, child: () => silentLog };

describe("gateway: the HTTP server", () => {
  it("RES-05: cuts the connection of a client that does not read its response", async () => {
    const { promise, resolve } = Promise.withResolvers<ServerResponse>();
    const server = createHttpServer({
      handle: async (_, response) => {
        response.end("x".repeat(16_000_000));
        resolve(response);
      },
      arrivalMs: 15_000,
      stalledMs: 100,
      securityHeaders: [],
      reasons: new Map(),
      log: silentLog,
    });
    const { url } = await server.listen({ port: 0, host: "127.0.0.1", reusePort: false });
    const socket = connect(Number(new URL(url).port), "127.0.0.1").on("error", () => undefined);
    socket.pause();
    socket.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    const response = await promise;
    await once(response, "close");
    assert.equal(response.writableFinished, false);
    socket.destroy();
    await server.close(1_000);
  });
});
