import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, it } from "node:test";
import type { TestContext } from "node:test";
import { refusalIn } from "../errors/refusal.ts";
import type { Logger } from "../telemetry/logger.ts";
import { createOpenSearchHttp, OpenSearchFault } from "./opensearch-http.ts";
import { createOpenSearch } from "./opensearch.ts";

const unavailable = (error: unknown): boolean => refusalIn(error)?.reason === "DEPENDENCY_UNAVAILABLE";
const get = { method: "GET", path: "/" } as const;

describe("requests to OpenSearch", () => {
  it("refuse in time, and log one line when it becomes unreachable and one when it responds again", async (t) => {
    let reply: "none" | "half" | "busy" | "well" = "none";
    const { http, lines } = await open(t, (_, response) => {
      if (reply === "none") return;
      response.writeHead(reply === "busy" ? 503 : 200, { "content-type": "application/json" });
      if (reply === "half") response.write("{");
      else response.end("{}");
    });
    const began = performance.now();
    await Promise.all([1, 2, 3].map(() => assert.rejects(http.request({ ...get, timeoutMs: 100 }), unavailable)));
    reply = "half";
    await assert.rejects(http.request({ ...get, timeoutMs: 100 }), unavailable);
    reply = "busy";
    await assert.rejects(http.request(get), unavailable);
    assert.ok(performance.now() - began < 1_000);
    reply = "well";
    assert.deepEqual(await http.request(get), {});
    assert.deepEqual(await http.request(get), {});
    assert.deepEqual(lines, ["warn OpenSearch is unreachable; each request tries it again", "info OpenSearch responds again"]);
  });

  it("try a lost connection once more", async (t) => {
    let asked = 0;
    const { http, lines } = await open(t, (request, response) => {
      if (++asked === 1) request.socket.destroy();
      else response.writeHead(200, { "content-type": "application/json" }).end("{}");
    });
    await http.request(get);
    assert.deepEqual([asked, lines], [2, []]);
  });

  it("throw what the server rejects, with its message", async (t) => {
    const { http } = await open(t, (_, response) =>
      response.writeHead(400, { "content-type": "application/json" }).end(`{"error":{"type":"parsing_exception","reason":"no [x]"}}`),
    );
    await assert.rejects(
      http.request(get),
      (error) => error instanceof OpenSearchFault && error.type === "parsing_exception" && /no \[x\]/.test(error.message),
    );
  });

  it("end at a stop, which may be repeated", async (t) => {
    const requested = Promise.withResolvers<void>();
    const { http, lines } = await open(t, () => requested.resolve());
    const waiting = assert.rejects(http.request(get), unavailable);
    await requested.promise;
    await Promise.all([http.stop(), http.stop(), waiting]);
    await assert.rejects(http.request(get), unavailable);
    assert.deepEqual(lines, []);
  });

  it("start with an unreachable server, and not with one that is no OpenSearch, too old, or rejects the credentials", async (t) => {
    let [status, body] = [200, "{}"];
    const { url, lines, log } = await open(t, (_, response) =>
      response.writeHead(status, { "content-type": "application/json" }).end(body),
    );
    const start = async (at = url): Promise<void> => {
      const search = createOpenSearch({ url: at, log });
      t.after(() => search.stop());
      await search.start();
    };
    await assert.rejects(start(), /no OpenSearch/);
    body = `{"version":{"number":"7.9.3"}}`;
    await assert.rejects(start(), /elasticsearch 7.9.3 is too old/);
    body = `{"version":{"number":"3.1.0","distribution":"opensearch"}}`;
    await start();
    status = 401;
    await assert.rejects(start(), /name and password/);
    const before = lines.length;
    await start("http://127.0.0.1:9");
    assert.equal(lines.length, before + 1);
  });
});

async function open(t: TestContext, listener: RequestListener) {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const lines: string[] = [];
  const log: Logger = {
    debug: () => undefined,
    info: (_, line) => lines.push(`info ${line}`),
    warn: (_, line) => lines.push(`warn ${line}`),
    error: (_, line) => lines.push(`error ${line}`),
    child: () => log,
  };
  const http = createOpenSearchHttp({ urls: [url], log });
  t.after(async () => {
    await http.stop();
    server.closeAllConnections();
    server.close();
  });
  return { http, url, lines, log };
}
