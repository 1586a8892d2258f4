import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { openTestShop } from "../test-shop.ts";
import { openChromium } from "./test-chromium.ts";

describe("the API reference in a browser", () => {
  it("shows the operations and sends a request, without an error in the console and without calling another address", async () => {
    await using shop = await openTestShop();
    await using page = await openChromium();
    await page.goTo(`${shop.url}/docs#tag/catalog/GET/v1/products`);
    await page.click(/Test Request\s+\(get \/v1\/products\)/);
    const response = page.response(/\/v1\/products$/);
    await page.click(/^\s*Send/);
    assert.equal(await response, 200);
    assert.deepEqual(
      shop.seen.map(({ method, call }) => [method, call.user]),
      [["CatalogService.listProducts", undefined]],
    );
    assert.deepEqual(page.complaints, []);
    assert.deepEqual(
      page.requested.filter((url) => !url.startsWith(`${shop.url}/`) && !url.startsWith("data:")),
      [],
    );
  });
});
