import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { asOperator } from "./operator.ts";
import { runCommand, startShop } from "./shop-process.ts";
import { onServers } from "./topologies.ts";

describe("moving an installation", () => {
  it(
    "DAT-01 CON-05: a shop with orders, carts and reminders goes on on real servers where it was, and its old data does not start again",
    { timeout: 150_000 },
    async () => {
      const small = await startShop();
      const [[ada], [sku]] = await asOperator(
        small.environment,
        async (operator) => [await operator.shoppers(small, 1), await operator.products([50])] as const,
      );
      const lines = [{ sku: sku!, quantity: 2 }];
      const paid = (await ada!.order(lines)).body;
      await ada!.pay(paid.payment.url);
      await ada!.until(paid.id, "PAID");
      const cart = (await ada!.expect(201, "POST", "/v1/carts", { json: { currency: "EUR", lines } })).body;
      const { id: line } = cart.lines[0];
      const changed = (await ada!.expect(200, "PATCH", `/v1/carts/${cart.id}/lines/${line}`, { json: { quantity: 3 } })).body;
      await ada!.mails(1);

      const running = await runCommand(["move"], {
        ...small.environment,
        KONTOR_DATABASE_URL: "postgres://nobody@127.0.0.1:1/x?sslmode=disable",
      });
      assert.equal(running.code, 1);
      assert.match(running.output, /a shop is running/);
      assert.equal(await small.stop(), 0);

      const key = (await readFile(join(small.folder, "master.key"), "utf8")).trim();
      const servers = { ...(await onServers.environment()), KONTOR_MASTER_KEY: key, KONTOR_DATA: small.folder };
      const environment = { ...small.environment, ...servers };
      const moved = await runCommand(["move"], environment);
      assert.equal(moved.code, 0, moved.output);
      assert.match(moved.output, /All \d+ invariants hold/);
      const again = await runCommand(["move"], environment);
      assert.equal(again.code, 1);
      const old = await runCommand(["start"], small.environment);
      assert.equal(old.code, 1);
      assert.match(old.output, /was moved to a server/);

      const big = await startShop(servers, onServers);
      Object.assign(ada!.places, { api: big.api, mailbox: big.mailbox });
      await ada!.login();
      assert.equal((await ada!.expect(200, "GET", `/v1/orders/${paid.id}`)).body.status, "PAID");
      const kept = (await ada!.expect(200, "GET", `/v1/carts/${cart.id}`)).body;
      assert.deepEqual([kept.version, kept.lines[0].quantity], [changed.version, 3]);
      const placed = (await ada!.expect(201, "POST", "/v1/orders", { json: { cart: cart.id }, key: "key-after" })).body;
      await ada!.pay(placed.payment.url);
      await ada!.until(placed.id, "PAID");
      await ada!.mails(2);
      const { body: found } = await ada!.expect(200, "GET", `/v1/products?q=${sku!}`);
      assert.equal(found.items.length, 1);
      const verified = await big.run(["verify"]);
      assert.equal(verified.code, 0, verified.output);
    },
  );
});
