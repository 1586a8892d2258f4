import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { measureAgainst } from "./against.ts";
import { Figures } from "./figures.ts";
import { hostileKinds } from "./hostile-kinds.ts";
import { measureHostile } from "./measure-hostile.ts";
import { measureOrders } from "./measure-orders.ts";
import { openMeasuredShop } from "./open-measured-shop.ts";

// The smallest form of the benchmark: that it runs and gives its figures. What they are says nothing here.

const root = join(import.meta.dirname, "..");
/** Each starts a shop or two on data of their own, which takes long on a busy machine. */
const timeout = 200_000;

describe("the benchmark", () => {
  it("TST-10: measures orders beside both references, and what they cost", { timeout }, async () => {
    const figures = new Figures(undefined);
    const measured = await openMeasuredShop({ products: 50 });
    try {
      await measureOrders(measured, { shoppers: [1], seconds: 1, referenceSeconds: 0.5, figures });
      assert.ok((await measured.verify()) > 0, "each order has its mail, in the mailbox of another process");
    } finally {
      await measured.stop();
    }
    const values = new Map(figures.all.map(({ name, value }) => [name, value]));
    for (const name of [
      "bare_http_per_s",
      "minimal_orders_per_s",
      "orders_per_s",
      "orders_to_minimal",
      "requests_to_bare_http",
      "order_p50_ms",
      "order_p95_ms",
      "order_p99_ms",
      "order_statements",
      "order_commits",
    ])
      assert.ok((values.get(`${name}_at_1`) ?? 0) > 0, name);
    if (process.platform === "linux")
      for (const name of ["shop", "postgresql", "provider", "mailbox", "load"]) assert.ok(values.has(`order_cpu_${name}_ms_at_1`), name);
  });

  it("TST-10: measures two checkouts turn by turn and gives the ratios of their figures", { timeout }, async () => {
    const options = { root, turns: 1, shoppers: 1, seconds: 1, readSeconds: 0.5, products: 50 };
    const ratios = await measureAgainst({ ...options, figures: new Figures(undefined) });
    for (const name of ["orders_per_s", "order_p50_ms", "product_reads_per_s", "product_lists_per_s"] as const) {
      const spread = ratios.get(name);
      assert.ok(spread !== undefined && spread.min > 0 && spread.min === spread.max, name);
    }
    assert.equal(ratios.has("order_cpu_ms"), process.platform === "linux");
  });

  it("TST-10 S16: measures the orders of others beside a hostile caller of each kind, and all of them succeed", { timeout }, async () => {
    const figures = new Figures(undefined);
    const measured = await openMeasuredShop({ products: 50, variables: { KONTOR_PROXIES: "1" } });
    try {
      await measureHostile(measured, { seconds: 1, figures });
      await measured.verify();
    } finally {
      await measured.stop();
    }
    const values = new Map(figures.all.map(({ name, value }) => [name, value]));
    for (const kind of hostileKinds) {
      const name = `hostile_${kind.replaceAll(/[ -]/g, "_")}`;
      for (const figure of ["requests", "order_p99_ms", "order_p99_to_alone"])
        assert.ok((values.get(`${name}_${figure}`) ?? 0) > 0, figure);
    }
  });

  it("refuses a folder that is not a checkout, in a sentence with its name", async () => {
    const empty = mkdtempSync(join(tmpdir(), "kontor-bench-empty-"));
    try {
      const options = { root: empty, turns: 1, shoppers: 1, seconds: 1, readSeconds: 1, products: 1 };
      await assert.rejects(
        measureAgainst({ ...options, figures: new Figures(undefined) }),
        new RegExp(`${empty} is not a checkout of Kontor`),
      );
    } finally {
      rmSync(empty, { recursive: true, force: true });
    }
  });
});
