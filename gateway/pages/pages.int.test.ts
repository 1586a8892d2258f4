import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe, it } from "node:test";
import { assertSecured, problemIn } from "../test-problem.ts";
import manifest from "./scalar/manifest.json" with { type: "json" };
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

  it("shows the links of its options", async () => {
    await using shop: TestShop = await openTestShop({
      gateway: { pages: { links: [{ name: "Mailbox", url: "http://localhost:8025/?a=1&b=2", about: "mails" }] } },
    });
    assert.match(await (await shop.get("/")).text(), /<a href="http:\/\/localhost:8025\/\?a=1&#38;b=2">Mailbox<\/a>/);
  });

  it("serves the API reference from this address alone, under a policy that lets it load and call nothing else", async () => {
    await using shop = await openTestShop();
    const page = await shop.get("/docs");
    const html = await page.text();
    const policy = page.headers.get("content-security-policy") ?? "";
    assert.match(policy, /default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; /);
    assert.doesNotMatch(policy, /https?:|\*|unsafe-eval|blob:/);
    const addresses = [...html.matchAll(/(?:src|href)="([^"]*)"/g)].map(([, address]) => address!);
    assert.ok(addresses.length > 6, html);
    for (const address of addresses.filter((one) => one !== "data:,")) {
      assert.match(address, /^\/(?!\/)/, "no other origin");
      assert.equal((await shop.get(address)).status, 200, address);
    }
    for (const path of ["/docs", "/docs/api-reference.js", "/docs/style.css"])
      assert.doesNotMatch(await (await shop.get(path)).text(), /https?:|url\(|@import/, path);
  });

  it("lets browsers store Scalar's bundle for ever, under a path that changes with it", async () => {
    await using shop = await openTestShop();
    const [path = ""] = /\/docs\/scalar-\w+\.js/.exec(await (await shop.get("/docs")).text()) ?? [];
    for (const [accepted, encoding] of [
      ["gzip, deflate, br", "gzip"],
      ["br;q=1, gzip;q=0.5", "gzip"],
      ["identity", null],
      ["br, gzip;q=0", null],
    ] as const) {
      const response = await shop.get(path, { "Accept-Encoding": accepted });
      assert.equal(response.headers.get("content-encoding"), encoding, accepted);
      assert.equal(response.headers.get("cache-control"), "public, max-age=31536000, immutable");
      assert.deepEqual(
        [response.headers.get("vary"), response.headers.get("content-type")],
        ["Accept-Encoding", "text/javascript; charset=utf-8"],
      );
      assertSecured(response);
      const sha256 = createHash("sha256")
        .update(await response.bytes())
        .digest("hex");
      assert.equal(sha256, manifest.sha256);
      assert.ok(path.includes(sha256.slice(0, 20)));
    }
  });
});
