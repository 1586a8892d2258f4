import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { problemIn } from "../test-problem.ts";
import { openTestShop } from "../test-shop.ts";
import type { TestShop } from "../test-shop.ts";

describe("gateway: pages", { concurrency: true }, () => {
  it("API-07: the OpenAPI document has exactly the routes", async () => {
    await using shop = await openTestShop();
    const document = (await (await shop.get("/openapi.json")).json()) as { paths: Record<string, Record<string, unknown>> };
    const documented = Object.entries(document.paths).flatMap(([path, item]) =>
      Object.keys(item).map((verb) => `${verb.toUpperCase()} ${path}`),
    );
    const routed = shop.gateway.routes.map(({ verb, template }) => `${verb} ${template}`);
    assert.deepEqual(documented.sort(), routed.sort());
  });

  it("is alive always, ready when it is, and says what each error means", async () => {
    let ready = false;
    await using shop = await openTestShop({ gateway: { ready: async () => ready } });
    assert.equal((await shop.get("/livez")).status, 200);
    await problemIn(await shop.get("/readyz"), 503, "DEPENDENCY_UNAVAILABLE");
    ready = true;
    assert.equal((await shop.get("/readyz")).status, 200);
    const page = await (await shop.get("/docs/errors/CART_EMPTY")).text();
    assert.match(page, /There is nothing in the cart/);
    await problemIn(await shop.get("/docs/errors/NO_SUCH_REASON"), 404, "NOT_FOUND");
    const welcome = await (await shop.get("/")).text();
    assert.match(welcome, /Test &#38; Shop/);
    for (const [, path] of welcome.matchAll(/href="(\/[^"]*)"/g)) assert.equal((await shop.get(path!)).status, 200, path);
  });

  it("names the links that it is given", async () => {
    await using shop: TestShop = await openTestShop({
      gateway: { pages: { links: [{ name: "Mailbox", url: "http://localhost:8025/?a=1&b=2", about: "mails" }] } },
    });
    assert.match(await (await shop.get("/")).text(), /<a href="http:\/\/localhost:8025\/\?a=1&#38;b=2">Mailbox<\/a>/);
  });
});
