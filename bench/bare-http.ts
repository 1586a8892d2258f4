import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { serveParent } from "./serve-parent.ts";

// The first reference: what Node's own HTTP server responds with 4 KB and nothing else, in a process of its own.

const body = Buffer.alloc(4_096, "a");
const server = createServer((_, response) => {
  response.writeHead(200, { "content-type": "text/plain", "content-length": body.length }).end(body);
});
server.listen(0, "127.0.0.1", () => {
  const { port } = server.address() as AddressInfo;
  serveParent({ origin: `http://127.0.0.1:${port}` }, () => Promise.reject(new Error("the bare server has no commands")));
});
