import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { before, describe, it } from "node:test";
import type { DescService } from "@bufbuild/protobuf";
import { masterKeyOf } from "@kontor/kontor/master-key.ts";
import { rootCall } from "@kontor/platform/call/call.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import { tokenCallers } from "@kontor/platform/rpc/callers.ts";
import { createInProcessRpc } from "@kontor/platform/rpc/in-process.ts";
import { openRemotes } from "@kontor/platform/rpc/remotes.ts";
import { afterTests } from "@kontor/platform/testing/postgres.ts";
import { createLogger } from "@kontor/platform/telemetry/create-logger.ts";
import { freePorts } from "./free-ports.ts";
import { applyGuide } from "./guide.ts";
import { copyRepository } from "./repository-copy.ts";
import type { RepositoryCopy } from "./repository-copy.ts";
import { Shopper } from "./shopper.ts";
import type { ShopProcess, startShop } from "./shop-process.ts";
import { cluster, oneProcess, startTimeout } from "./topologies.ts";

interface ShopModule {
  readonly startShop: typeof startShop;
}

const guide = readFileSync(join(import.meta.dirname, "../docs/guides/adding-a-service.md"), "utf8");
const made = /^(contracts\/(gen\/|registry\.ts$|channels\.json$)|docs\/|README\.md$|package-lock\.json$)/;

describe("the guide to adding a service", () => {
  let copy: RepositoryCopy;

  before(async () => {
    copy = copyRepository();
    applyGuide(guide, copy.folder);
    copy.link("reviews", "services/reviews");
    await copy.run("tools/generate.ts");
    await copy.run("tools/dependencies.ts", "--write");
  }, startTimeout);

  it("touches two lines outside of the service's folder and contract", () => {
    const outside = copy.changed().filter((path) => !/^(services|contracts\/proto\/kontor)\/reviews\//.test(path) && !made.test(path));
    assert.deepEqual(
      outside.map((path) => [path, copy.addedLines(path)]),
      [
        ["apps/kontor/package.json", 1],
        ["apps/kontor/services.ts", 1],
      ],
    );
  });

  it("gives a service that passes its test and the checks", startTimeout, async () => {
    await copy.run("tools/test.ts", "services/reviews", "tools/lists.unit.test.ts", "apps/kontor/roles.unit.test.ts");
    await copy.run("tools/test.ts", "--grep", "DOC-03", "tools/docs.unit.test.ts");
    await copy.run("tools/check.ts", "types", "format", "lint", "boundaries", "dependencies", "sql", "reasons");
  });

  it("gives a service that is called over REST and gRPC in one process", startTimeout, async () => {
    const [port] = await freePorts(1);
    const address = `grpc://127.0.0.1:${port}`;
    const { startShop: start } = await copy.load<ShopModule>("e2e/shop-process.ts");
    await reviewsWork(copy, await start({ KONTOR_RPC: address }, oneProcess), address);
  });

  it("gives a service that is called over REST and gRPC in a process of its own", startTimeout, async () => {
    const { startShop: start } = await copy.load<ShopModule>("e2e/shop-process.ts");
    const shop = await start({}, cluster);
    assert.ok(shop.processes.includes("reviews-1"));
    const ready = JSON.parse(shop.lines.find((line) => line.includes('"message":"ready"') && line.includes('"api"'))!) as {
      readonly services: Readonly<Record<string, string>>;
    };
    await reviewsWork(copy, shop, ready.services["reviews"]!);
  });
});

/** Writes a review over REST as a customer and reads it over REST and over gRPC. */
async function reviewsWork(copy: RepositoryCopy, shop: ShopProcess, address: string): Promise<void> {
  const customer = await new Shopper(shop).join();
  const { body: review } = await customer.expect(201, "POST", "/v1/reviews", { json: { product: "prd_1", stars: 5, text: "Good" } });
  await customer.expect(400, "POST", "/v1/reviews", { json: { product: "prd_1", stars: 6 } });
  await new Shopper(shop).expect(401, "POST", "/v1/reviews", { json: { product: "prd_1", stars: 5 } });
  const { body } = await customer.expect(200, "GET", "/v1/reviews?product=prd_1");
  assert.deepEqual(body.items, [review]);

  const log = createLogger({ service: "test", level: "silent" });
  const callers = tokenCallers(await masterKeyOf(undefined, shop.folder));
  const services = new Map([["reviews", { protocol: "grpc" as const, addresses: [address.replace("grpc://", "")] }]]);
  const remotes = await openRemotes({ services, callers, log });
  afterTests(() => remotes.close());
  const { ReviewsService } = await copy.load<{ readonly ReviewsService: DescService }>("contracts/gen/kontor/reviews/v1/reviews_pb.js");
  // The contract is not known here when types are checked.
  const client = createInProcessRpc({ log, remotes }).clientsFor("kontor").of("reviews", ReviewsService) as unknown as {
    listReviews(request: object, call: Call): Promise<{ readonly items: readonly { readonly id: string }[] }>;
  };
  const { items } = await client.listReviews({ product: "prd_1" }, rootCall({ caller: "kontor", timeoutMs: 5_000 }));
  assert.deepEqual(
    items.map(({ id }) => id),
    [review.id],
  );
}
