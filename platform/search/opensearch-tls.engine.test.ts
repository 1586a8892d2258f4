import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { engineAddress } from "../testing/engines.ts";
import { openTlsServer, tlsFaults, writtenLog } from "../testing/test-tls-server.ts";
import { openTestOpenSearch } from "./open-test-opensearch.ts";

const opensearch = engineAddress("ENGINE_OPENSEARCH");

describe("search: OpenSearch with TLS", () => {
  it("SEC-05: finds over encrypted connections alone, trusting the authority that is named", async () => {
    const server = await openTlsServer(opensearch);
    const { log, lines } = writtenLog();
    for (const host of ["127.0.0.1", "localhost"]) {
      const search = openTestOpenSearch({ url: `https://${host}:${server.port}`, ca: server.ca, log });
      await search.start();
      const index = search.index("products");
      await index.put([{ id: "1", version: 1, text: { a: "a striped shirt", b: "", c: "" }, keywords: {}, numbers: {} }]);
      assert.deepEqual((await index.query({ text: "shirt", sort: [], limit: 10 })).ids, ["1"]);
    }
    assert.deepEqual([lines, server.bypassed()], [[], 0]);
  });

  for (const fault of tlsFaults)
    it(`SEC-05: sends nothing to a server ${fault.name}, logs why, and refuses`, async () => {
      const { server, ca } = await fault.open(opensearch);
      const { log, lines, says } = writtenLog();
      const search = openTestOpenSearch({ url: `https://${server.host}:${server.port}`, log, ...(ca !== undefined && { ca }) });
      await search.start();
      await says(fault.says);
      await assert.rejects(search.index("products").query({ sort: [], limit: 10 }), { reason: "DEPENDENCY_UNAVAILABLE" });
      assert.deepEqual([lines.length, server.received()], [1, 0]);
    });

  it("SEC-05: gets no response in plain text from a server with TLS", async () => {
    const server = await openTlsServer(opensearch);
    const { log, says } = writtenLog();
    await openTestOpenSearch({ url: `http://${server.host}:${server.port}`, ca: server.ca, log }).start();
    await says(/OpenSearch is unreachable/);
    assert.equal(server.received(), 0);
  });
});
