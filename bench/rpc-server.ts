import { randomBytes } from "node:crypto";
import { createGrpcServer } from "@kontor/platform/rpc/grpc-server.ts";
import { createHttpRpcServer } from "@kontor/platform/rpc/http-server.ts";
import { createInProcessRpc } from "@kontor/platform/rpc/in-process.ts";
import { tokenCallers } from "@kontor/platform/rpc/callers.ts";
import { greeter, silent } from "./rpc-greeter.ts";

// Serves the test service over each wire, and says what CPU that took so far.

const masterKey = randomBytes(32);
const rpc = createInProcessRpc({ log: silent });
rpc.serve("greeter", [greeter]);
const options = { methods: rpc.methods, callers: tokenCallers(masterKey), ready: async () => true, instance: "bench-1", log: silent };
const [grpc, http] = [createGrpcServer(options), createHttpRpcServer(options)];
const ports = { grpc: await grpc.start("127.0.0.1", 0), http: await http.start("127.0.0.1", 0) };

process.on("message", () => {
  const { user, system } = process.cpuUsage();
  process.send!({ answer: (user + system) / 1000 }); // it is a child
});
process.on("disconnect", () => process.exit());
process.send!({ ready: { ports, masterKey: masterKey.toString("hex") } });
