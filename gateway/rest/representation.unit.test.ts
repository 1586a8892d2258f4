import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import type { Message } from "@bufbuild/protobuf";
import { ProductSchema } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import { etagOf } from "./etag.ts";
import { representationWriter } from "./representation.ts";
import type { RestResponse } from "./response-writer.ts";

/** Writes a product's title, and counts. */
function setup({ keeps, ...init }: { readonly keeps: boolean } & Partial<RestResponse>) {
  let written = 0;
  const write = (message: Message): RestResponse => {
    written++;
    return {
      status: 200,
      headers: ["Content-Type", "text/plain"],
      body: (message as unknown as { title: string }).title,
      page: false,
      ...init,
    };
  };
  return { represent: representationWriter(write, { keeps }), written: () => written };
}

const product = (title: string) => create(ProductSchema, { title });

describe("gateway: representations", () => {
  it("writes a message once when it keeps representations, and another message of the same content again", () => {
    const { represent, written } = setup({ keeps: true });
    const tea = product("Tea");
    const first = represent(tea);
    assert.deepEqual(first, {
      status: 200,
      headers: ["Content-Type", "text/plain", "ETag", etagOf("Tea")],
      body: "Tea",
      page: false,
      etag: etagOf("Tea"),
    });
    assert.deepEqual([represent(tea), written()], [first, 1]);
    assert.deepEqual([represent(product("Tea")), written()], [first, 2]);
  });

  it("writes each time when it does not", () => {
    const { represent, written } = setup({ keeps: false });
    const tea = product("Tea");
    assert.deepEqual(represent(tea), represent(tea));
    assert.equal(written(), 2);
  });

  it("keeps a long body as the bytes of its text, with the same tag", () => {
    const title = "Käse ".repeat(2_000);
    const [kept, other] = [true, false].map((keeps) => setup({ keeps }).represent(product(title)));
    assert.deepEqual(kept!.body, Buffer.from(title));
    assert.equal(other!.body, title);
    assert.equal(kept!.etag, other!.etag);
  });

  it("gives no tag to what has no body or is no success", () => {
    for (const init of [{ body: undefined }, { status: 303 }])
      assert.deepEqual(
        [setup({ keeps: true, ...init }).represent(product("Tea"))].map(({ etag, headers }) => [etag, headers]),
        [[undefined, ["Content-Type", "text/plain"]]],
      );
  });
});
