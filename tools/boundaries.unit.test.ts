import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { boundaryProblems, importsOf } from "./boundaries.ts";
import { readSources, shown } from "./sources.ts";

// Not written out, because this file is checked too.
const dynamically = "import";

const planted: readonly [path: string, line: string, message: RegExp | undefined][] = [
  ["services/orders/src/a.ts", 'import { hold } from "@kontor/inventory/src/stock.ts";', /never imports another/],
  ["services/orders/src/a.ts", 'import { hold } from "@kontor/inventory";', /never imports another/],
  ["services/orders/src/a.ts", 'import type { Stock } from "@kontor/inventory/src/stock.ts";', /never imports another/],
  ["services/orders/src/a.ts", 'export * from "@kontor/inventory/src/stock.ts";', /never imports another/],
  ["services/orders/src/a.ts", `const stock = await ${dynamically}("@kontor/inventory/src/stock.ts");`, /never imports another/],
  ["services/orders/src/a.ts", 'import "@kontor/inventory/src/stock.ts";', /never imports another/],
  ["services/orders/src/a.ts", 'import {\n  hold,\n} from "../../inventory/src/stock.ts";', /reaches into services\/inventory/],
  ["services/orders/src/a.ts", 'import { createGateway } from "@kontor/gateway/gateway.ts";', /must not import gateway/],
  ["services/orders/src/a.ts", 'import pg from "pg";', /only through a seam/],
  ["services/orders/src/order.ts", 'import { createServer } from "node:http";', /only through a seam/],
  ["services/orders/src/order.ts", 'import { readFile } from "node:fs/promises";', /only through a seam/],
  ["services/orders/src/order.ts", 'import fastify from "fastify";', /only through a seam/],
  ["services/orders/src/a.ts", 'import { sql } from "@kontor/platform/database/sql.ts";', undefined],
  ["services/orders/src/a.ts", 'import { decide } from "./order.ts";', undefined],
  ["services/orders/src/a.int.test.ts", 'import { readFile } from "node:fs/promises";', undefined],
  ["services/orders/src/a.int.test.ts", 'import { inventory } from "@kontor/inventory";', undefined],
  ["services/orders/src/open-test-orders.ts", 'import { inventory } from "@kontor/inventory";', undefined],
  ["services/orders/src/test-orders.ts", 'import { createGateway } from "@kontor/gateway/gateway.ts";', /must not import gateway/],
  ["services/orders/src/a.ts", 'import { open } from "./open-test-orders.ts";', /for tests only/],
  ["services/orders/src/a.ts", 'import { openTestServices } from "@kontor/platform/testing/test-services.ts";', /for tests only/],
  ["platform/events/a.ts", 'import { eventsContract } from "./events.contract.ts";', /for tests only/],
  ["e2e/a.ts", 'import { afterTests } from "@kontor/platform/testing/postgres.ts";', undefined],
  ["services/payments/src/http-client.ts", 'import http from "node:http";', undefined],
  ["services/payments/src/http-client.ts", 'import net from "node:net";', /only through a seam/],
  ["services/payments/src/a.ts", 'import http from "node:http";', /only through a seam/],
  ["services/payments/provider/src/a.ts", 'import http from "node:http";', undefined],
  ["services/payments/provider/src/a.ts", 'import { pay } from "../../src/payment.ts";', /share no code/],
  ["services/payments/provider/src/a.ts", 'import { hold } from "@kontor/inventory";', /never imports another/],
  ["services/payments/src/a.ts", 'import { books } from "../provider/src/books.ts";', /share no code/],
  ["services/payments/src/a.ts", 'import { books } from "@kontor/payments/provider/src/books.ts";', /share no code/],
  ["services/payments/src/a.int.test.ts", 'import { books } from "../provider/src/books.ts";', undefined],
  ["apps/kontor/a.ts", 'import { createProviderServer } from "@kontor/payments/provider/src/provider-server.ts";', undefined],
  ["platform/rpc/a.ts", 'import { decide } from "@kontor/orders/src/order.ts";', /platform must not import services\/orders/],
  ["platform/rpc/a.ts", 'import { Order } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";', undefined],
  ["platform/rpc/a.ts", 'import { Order } from "../../contracts/money.ts";', /reaches into contracts/],
  ["platform/rpc/a.ts", 'import pg from "pg";', undefined],
  ["contracts/money.ts", 'import { refuse } from "@kontor/platform/errors/refusal.ts";', /contracts must not import platform/],
  ["gateway/a.ts", 'import { service } from "@kontor/orders";', /gateway must not import services\/orders/],
  ["apps/kontor/a.ts", 'import { service } from "@kontor/orders";', undefined],
  ["apps/kontor/a.ts", 'import { run } from "@kontor/e2e/run.ts";', /must not import e2e/],
  ["e2e/a.ts", 'import { startHouse } from "@kontor/kontor/app.ts";', undefined],
];

describe("boundaries", () => {
  for (const [path, line, message] of planted)
    it(`DEV-04: ${message === undefined ? "allows" : "catches"} ${line.replaceAll("\n", " ")} in ${path}`, () => {
      const found = boundaryProblems([{ path, text: `// first\n${line}\n` }]);
      if (message === undefined) return assert.deepEqual(found, []);
      assert.equal(found.length, 1);
      assert.match(found[0]!.message, message);
    });

  it("DEV-04: nothing in the tree crosses one", () => {
    assert.deepEqual(boundaryProblems(readSources("ts")).map(shown), []);
  });

  it("says in which line", () => {
    assert.deepEqual(importsOf('import a from "a";\n\nimport {\n  b,\n} from "b";\nexport const c = ' + dynamically + '("c");\n'), [
      { from: "a", line: 1 },
      { from: "b", line: 5 },
      { from: "c", line: 6 },
    ]);
  });
});
