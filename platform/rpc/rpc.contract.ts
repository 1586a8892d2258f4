import assert from "node:assert/strict";
import { performance } from "node:perf_hooks";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { LineSchema, ThingSchema } from "@kontor/contracts/gen/kontor/testing/v1/testing_pb.js";
import type { Call } from "../call/call.ts";
import { insideTransaction } from "../database/in-transaction.ts";
import { refuse } from "../errors/refusal.ts";
import type { Refusal } from "../errors/refusal.ts";
import { rpcStreams } from "./rpc-streams.contract.ts";
import { rpcWaits } from "./rpc-waits.contract.ts";
import { admin, ann, callOf, GreeterService, openGreeter, refusalOf, tea, turns } from "./test-greeter.ts";
import type { OpenRpc } from "./test-greeter.ts";

/** What every rpc engine does alike. */
export function rpcContract(engine: string, open: OpenRpc): void {
  describe(`rpc: ${engine}`, { concurrency: true }, () => {
    it("carries the request and the response", async () => {
      await using greeter = await openGreeter(open, {
        greet: async ({ sku, quantity }) => ({
          id: sku,
          version: quantity,
          lines: [{ sku, quantity, unitPrice: { currency: "EUR", amount: "1.00" } }],
        }),
      });
      const response = await greeter.of("gateway").greet({ sku: "tea", quantity: 3 }, callOf());
      assert.equal(response.$typeName, ThingSchema.typeName);
      assert.deepEqual([response.id, response.version, response.lines[0]?.unitPrice?.amount], ["tea", 3, "1.00"]);
      const again = await greeter.of("gateway").greet(create(LineSchema, { sku: "tea", quantity: 4 }), callOf());
      assert.equal(again.version, 4);
    });

    it("refuses a request that breaks the contract's rules before the handler sees it", async () => {
      let seen = 0;
      await using greeter = await openGreeter(open, { greet: async () => (seen++, {}) });
      const refusal = await refusalOf(greeter.of("orders").greet({ sku: "", quantity: 0 }, callOf()));
      assert.equal(refusal.reason, "INVALID_REQUEST");
      assert.equal(refusal.code, "invalid_argument");
      assert.deepEqual(refusal.fields.map(({ field }) => field).sort(), ["quantity", "sku"]);
      assert.equal(seen, 0);
    });

    it("carries the user, the cause, and the key that the caller has set", async () => {
      const calls: Call[] = [];
      await using greeter = await openGreeter(open, { greet: async (_, call) => (calls.push(call), {}) });
      const call = callOf({
        caller: "nobody-in-particular",
        user: ann,
        idempotencyKey: "key-1",
        trace: { traceId: "a".repeat(32), spanId: "b".repeat(16) },
        correlation: "cause-1",
        causation: "evt_1",
      });
      await greeter.of("checkout").greet(tea, call);
      await greeter.of("checkout").greet(tea, call.with({ user: undefined }));
      assert.equal(calls[0]?.caller, "checkout", "the host fixes the caller");
      assert.deepEqual(calls[0]?.user, ann);
      assert.deepEqual([calls[0]?.trace.traceId, calls[0]?.correlation, calls[0]?.causation], ["a".repeat(32), "cause-1", "evt_1"]);
      assert.equal(calls[0]?.idempotencyKey, "key-1");
      assert.equal(calls[1]?.idempotencyKey, undefined);
      assert.equal(calls[1]?.user, undefined);
    });

    it("refuses every call of a method without an access option", async () => {
      await using greeter = await openGreeter(open);
      for (const caller of ["gateway", "orders"])
        assert.equal((await refusalOf(greeter.of(caller).nobody(tea, callOf({ user: admin })))).reason, "PERMISSION_DENIED");
    });

    it("refuses internal methods to the edge, whichever user is signed in", async () => {
      await using greeter = await openGreeter(open);
      assert.equal(
        (await refusalOf(greeter.of("gateway").inside(tea, callOf({ user: admin, caller: "orders" })))).reason,
        "PERMISSION_DENIED",
      );
      await greeter.of("orders").inside(tea, callOf());
    });

    it("requires a user, or one of the roles, from services too", async () => {
      await using greeter = await openGreeter(open);
      for (const caller of ["gateway", "orders"]) {
        const client = greeter.of(caller);
        assert.equal((await refusalOf(client.whoAmI(tea, callOf()))).reason, "UNAUTHENTICATED");
        await client.whoAmI(tea, callOf({ user: ann }));
        assert.equal((await refusalOf(client.manage(tea, callOf()))).reason, "UNAUTHENTICATED");
        assert.equal((await refusalOf(client.manage(tea, callOf({ user: ann })))).reason, "PERMISSION_DENIED");
        await client.manage(tea, callOf({ user: admin }));
        await client.greet(tea, callOf());
      }
    });

    it("passes a refusal on as it is, also through services in between", async () => {
      await using greeter = await openGreeter(open, {
        inside: async () => {
          throw new Error("could not hold", {
            cause: refuse({
              reason: "OUT_OF_STOCK",
              code: "failed_precondition",
              message: "Only 2 are left",
              details: { free: 2 },
              fields: [{ field: "quantity", reason: "TOO_MANY", message: "at most 2" }],
              retryAfterMs: 3000,
            }),
          });
        },
        greet: async (request, call) => greeter.of("orders").inside(request, call),
      });
      const refusal = await refusalOf(greeter.of("gateway").greet(tea, callOf()));
      assert.deepEqual(
        [refusal.reason, refusal.code, refusal.message, refusal.details, refusal.retryAfterMs],
        ["OUT_OF_STOCK", "failed_precondition", "Only 2 are left", { free: 2 }, 3000],
      );
      assert.deepEqual(refusal.fields, [{ field: "quantity", reason: "TOO_MANY", message: "at most 2" }]);
      assert.deepEqual(greeter.faults, []);
    });

    it("hides the cause of a fault from the caller, and logs it once with its causes", async () => {
      await using greeter = await openGreeter(open, {
        inside: async () => {
          throw new Error("select failed", { cause: new Error("password of kontor is hunter2") });
        },
        greet: async (request, call) => greeter.of("orders").inside(request, call),
      });
      const refusal = await refusalOf(greeter.of("gateway").greet(tea, callOf({ correlation: "cause-2" })));
      assert.deepEqual(
        [refusal.reason, refusal.code, refusal.message, refusal.details],
        ["INTERNAL_ERROR", "internal", "INTERNAL_ERROR", {}],
      );
      assert.equal(refusal.cause, undefined);
      assert.equal(greeter.faults.length, 1);
      const [fault] = greeter.faults;
      assert.ok(fault?.error instanceof Error && fault.error.cause instanceof Error);
      assert.equal(fault.call?.correlation, "cause-2");
    });

    it("refuses a call whose deadline has passed, without calling the handler", async () => {
      let seen = 0;
      await using greeter = await openGreeter(open, { greet: async () => (seen++, {}) });
      const refusal = await refusalOf(greeter.of("gateway").greet(tea, callOf({ deadlineMs: performance.now() - 1 })));
      assert.equal(refusal.reason, "DEADLINE_EXCEEDED");
      assert.equal(seen, 0);
    });

    it("the call is refused at its deadline while the handler goes on", async () => {
      let begun = false;
      const finish = Promise.withResolvers<void>();
      const finished = Promise.withResolvers<string>();
      await using greeter = await openGreeter(open, {
        greet: async () => {
          begun = true;
          await finish.promise;
          finished.resolve("finished");
          return {};
        },
      });
      // On a busy machine a call may not have come to its handler by then.
      while (!begun) {
        const startedMs = performance.now();
        const refusal = await refusalOf(greeter.of("gateway").greet(tea, callOf({ deadlineMs: startedMs + 60 })));
        const tookMs = performance.now() - startedMs;
        assert.deepEqual([refusal.reason, refusal.code], ["DEADLINE_EXCEEDED", "deadline_exceeded"]);
        // Wires count in whole milliseconds, at each end.
        assert.ok(tookMs >= 50 && tookMs < 5000, `${tookMs} ms`);
      }
      finish.resolve();
      assert.equal(await finished.promise, "finished");
    });

    it("refuses as unavailable what is served nowhere", async () => {
      await using greeter = await openGreeter(open);
      const client = greeter.rpc.clientsFor("orders").of("tailor", GreeterService);
      const refusal = await refusalOf(client.greet(tea, callOf()));
      assert.deepEqual([refusal.reason, refusal.code], ["DEPENDENCY_UNAVAILABLE", "unavailable"]);
    });

    it("GW-11: 200 calls at once for different users each keep their own", async () => {
      await using greeter = await openGreeter(open, {
        inside: async (_, call) => {
          await turns(3);
          return { id: call.signedIn().id, displayName: call.correlation };
        },
        whoAmI: async (request, call) => {
          await turns(request.quantity % 7);
          const inner = await greeter.of("orders").inside(request, call);
          assert.equal(call.signedIn().id, inner.id);
          return inner;
        },
      });
      const client = greeter.of("gateway");
      const responses = await Promise.all(
        Array.from({ length: 200 }, (_, n) =>
          client.whoAmI({ sku: "tea", quantity: n + 1 }, callOf({ user: { ...ann, id: `usr_${n}` }, correlation: `cause-${n}` })),
        ),
      );
      responses.forEach((response, n) => assert.deepEqual([response.id, response.displayName], [`usr_${n}`, `cause-${n}`]));
    });

    it("limits calls from the edge, and lets calls of services pass", async () => {
      const gate = Promise.withResolvers<void>();
      const started = Promise.withResolvers<void>();
      await using greeter = await openGreeter(
        open,
        {
          greet: async (request, call) => {
            started.resolve();
            await gate.promise;
            return greeter.of("orders").inside(request, call);
          },
        },
        { inFlight: 1, waiting: 1 },
      );
      const client = greeter.of("gateway");
      const first = client.greet(tea, callOf());
      await started.promise;
      const later = [client.greet(tea, callOf()), client.greet(tea, callOf())].map((call) => call.then(() => "served", reasonOf));
      assert.equal(await Promise.race(later), "OVERLOADED");
      await greeter.of("orders").inside(tea, callOf());
      gate.resolve();
      await first;
      assert.deepEqual((await Promise.all(later)).sort(), ["OVERLOADED", "served"]);
    });

    it("refuses a waiting call in favour of an urgent one", async () => {
      const gate = Promise.withResolvers<void>();
      const started = Promise.withResolvers<void>();
      await using greeter = await openGreeter(
        open,
        { greet: async () => (started.resolve(), await gate.promise, {}) },
        { inFlight: 1, waiting: 1 },
      );
      const client = greeter.of("gateway");
      const first = client.greet(tea, callOf());
      await started.promise;
      const browsing = client.greet(tea, callOf()).then(() => "served", reasonOf);
      const buying = Promise.all([browsing, client.buy(tea, callOf()).then(() => "served", reasonOf)]);
      assert.equal(await browsing, "OVERLOADED");
      gate.resolve();
      await first;
      assert.deepEqual(await buying, ["OVERLOADED", "served"]);
    });

    it("RES-08: stopping waits for calls under way, with those that they make, and takes no more", async () => {
      const gate = Promise.withResolvers<void>();
      const started = Promise.withResolvers<void>();
      await using greeter = await openGreeter(open, {
        greet: async (request, call) => {
          started.resolve();
          await gate.promise;
          return greeter.of("orders").inside(request, call);
        },
        inside: async () => ({ id: "inside" }),
      });
      const under = greeter.of("gateway").greet(tea, callOf());
      await started.promise;
      let stopped = false;
      const stopping = greeter.rpc.stop().then(() => (stopped = true));
      assert.equal((await refusalOf(greeter.of("gateway").greet(tea, callOf()))).code, "unavailable");
      assert.equal(stopped, false);
      gate.resolve();
      assert.equal((await under).id, "inside");
      await stopping;
      assert.equal((await refusalOf(greeter.of("orders").inside(tea, callOf()))).code, "unavailable");
      await greeter.rpc.stop();
    });

    it("does not call while a transaction is open", async () => {
      await using greeter = await openGreeter(open);
      await assert.rejects(
        insideTransaction("orders", () => greeter.of("orders").inside(tea, callOf())),
        /while a transaction of orders is open/,
      );
    });

    rpcStreams(open);
    rpcWaits(open);
  });
}

const reasonOf = (error: Refusal) => error.reason;
