import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { masterKeyOf } from "@kontor/kontor/master-key.ts";
import { placementOf } from "@kontor/kontor/placement.ts";
import { readConfiguration } from "@kontor/kontor/configuration.ts";
import { definitions } from "@kontor/kontor/roles.ts";
import { createLogger } from "@kontor/platform/telemetry/create-logger.ts";
import { refusalIn } from "@kontor/platform/errors/refusal.ts";
import { rootCall } from "@kontor/platform/call/call.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import { tokenCallers } from "@kontor/platform/rpc/callers.ts";
import { createInProcessRpc } from "@kontor/platform/rpc/in-process.ts";
import { openRemotes } from "@kontor/platform/rpc/remotes.ts";
import { afterTests } from "@kontor/platform/testing/postgres.ts";
import { freePorts } from "./free-ports.ts";
import { asOperator } from "./operator.ts";
import { startShop } from "./shop-process.ts";
import type { ShopProcess } from "./shop-process.ts";
import { overGrpc } from "./topologies.ts";

type Method = (request: Record<string, unknown>, call: Call) => Promise<unknown>;

describe("the services over gRPC", () => {
  let shop: ShopProcess;
  let ops = "";

  before(async () => {
    const [port] = await freePorts(1);
    shop = await startShop({ KONTOR_OPS_PORT: String(port) }, overGrpc);
    ops = `http://127.0.0.1:${port}`;
  });

  it("API-02 PAY-07 NTF-12 TST-03: each serves its own contract, and refuses callers without a token of this installation", async () => {
    const log = createLogger({ service: "test", level: "silent" });
    const { remotes: services } = placementOf(readConfiguration(shop.environment));
    const key = await masterKeyOf(undefined, shop.folder);
    for (const [callers, known] of [
      [tokenCallers(key), true],
      [tokenCallers(new Uint8Array(32)), false],
    ] as const) {
      const remotes = await openRemotes({ services, callers, log });
      afterTests(() => remotes.close());
      const clients = createInProcessRpc({ log, remotes }).clientsFor("kontor");
      for (const [service, contract] of definitions.flatMap(({ name, contracts }) => contracts.map((one) => [name, one] as const))) {
        // A contract taken from a list has no static type; its methods are those that are called here.
        const client = clients.of(service, contract) as unknown as Readonly<Record<string, Method>>;
        for (const method of contract.methods.filter(({ methodKind }) => methodKind === "unary")) {
          const refusal = await client[method.localName]!({}, rootCall({ caller: "kontor", timeoutMs: 5_000 })).then(
            () => undefined,
            (error: unknown) => refusalIn(error) ?? assert.fail(String(error)),
          );
          const about = `${service} ${method.name}: ${refusal?.reason} ${refusal?.message}`;
          // An empty request is served, or refused by the method itself: the method exists.
          if (known) assert.ok(!["DEPENDENCY_UNAVAILABLE", "INTERNAL_ERROR", "DEADLINE_EXCEEDED"].includes(refusal?.reason ?? ""), about);
          else assert.equal(refusal?.reason, "UNAUTHENTICATED", about);
        }
      }
    }
  });

  it("API-02 RES-01: the calls that an order is made of go over it, and the breakers are closed", async () => {
    const [[ada], [sku]] = await asOperator(
      shop.environment,
      async (operator) => [await operator.shoppers(shop, 1), await operator.products([5])] as const,
    );
    const placed = await ada!.order([{ sku: sku!, quantity: 1 }]);
    assert.equal(placed.status, 201);
    const metrics = await (await fetch(`${ops}/metrics`)).text();
    for (const callee of ["catalog", "carts", "checkout", "inventory", "orders", "payments"]) {
      const calls = new RegExp(`^kontor_rpc_calls\\{callee="${callee}",outcome="all"[^}]*\\} (\\d+)`, "m").exec(metrics)?.[1];
      assert.ok(Number(calls) > 0, `${callee}: ${calls}`);
      assert.match(metrics, new RegExp(`^kontor_rpc_breaker\\{callee="${callee}"[^}]*\\} 0$`, "m"));
    }
  });
});
