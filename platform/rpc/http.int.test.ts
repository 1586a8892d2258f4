import { request } from "node:http";
import { readError } from "./connect/error.ts";
import { connectPath } from "./connect/read-request.ts";
import { contractOf } from "../contract/contract.ts";
import { bytesOf } from "./http-body.ts";
import { rpcContract } from "./rpc.contract.ts";
import { GreeterService } from "./test-greeter.ts";
import { overWire } from "./test-wire.ts";
import { wireContract } from "./wire.contract.ts";
import type { SendRaw } from "./wire-access.contract.ts";

rpcContract("HTTP", overWire("http"));

const send: SendRaw = (address, { path, headers, body = new Uint8Array() }) =>
  new Promise((resolve) => {
    const started = request(
      `http://${address}${path}`,
      { method: "POST", headers: { ...headers, "content-type": "application/json" } },
      (response) => {
        void bytesOf(response, () => new Error("too large")).then((bytes) => {
          const { statusCode = 0 } = response;
          const json: unknown = bytes[0] === 0x7b ? JSON.parse(bytes.toString()) : undefined;
          const { code, refusal } = readError(json, statusCode);
          // As over gRPC, a method that is missing is known by its code.
          const reason = code === "unimplemented" ? code.toUpperCase() : refusal?.reason;
          resolve(statusCode === 200 ? "succeeded" : (reason ?? String(statusCode)));
        });
      },
    );
    started.on("error", (error) => resolve(String(error)));
    started.end(body);
  });

wireContract({
  protocol: "http",
  send,
  path: connectPath(contractOf(GreeterService.method.greet)),
  body: Buffer.from(JSON.stringify({ sku: "tea", quantity: 1 })),
});
