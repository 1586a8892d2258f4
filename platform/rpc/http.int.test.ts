import { request } from "node:http";
import { decodeProblem } from "./http-wire.ts";
import { textOf } from "./http-body.ts";
import { GreeterService, rpcContract } from "./rpc.contract.ts";
import { overWire } from "./test-wire.ts";
import { wireContract } from "./wire.contract.ts";
import type { SendRaw } from "./wire.contract.ts";

rpcContract("HTTP", overWire("http"));

const send: SendRaw = (address, { path, headers, body = new Uint8Array() }) =>
  new Promise((resolve) => {
    const started = request(
      `http://${address}${path}`,
      { method: "POST", headers: { ...headers, "content-type": "application/json" } },
      (response) => {
        void textOf(response, () => new Error("too large")).then((text) => {
          const json: unknown = text.startsWith("{") ? JSON.parse(text) : undefined;
          resolve(response.statusCode === 200 ? "answered" : (decodeProblem(json)?.reason ?? String(response.statusCode)));
        });
      },
    );
    started.on("error", (error) => resolve(String(error)));
    started.end(body);
  });

wireContract({
  protocol: "http",
  send,
  path: `/rpc/${GreeterService.typeName}/Greet`,
  body: Buffer.from(JSON.stringify({ sku: "tea", quantity: 1 })),
});
