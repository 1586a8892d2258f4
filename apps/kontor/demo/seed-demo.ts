import { readFile } from "node:fs/promises";
import { create } from "@bufbuild/protobuf";
import { ImportedProductSchema, ProductStatus } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import type { Clients } from "@kontor/platform/rpc/rpc.ts";
import { CommandError } from "../commands/command.ts";
import { importCatalogue } from "../commands/catalogue/import-catalogue.ts";
import type { ImportTally } from "../commands/catalogue/import-catalogue.ts";
import type { ReadProduct } from "../shopify/read-products.ts";

interface DemoProduct {
  readonly handle: string;
  readonly title: string;
  readonly category: string;
  readonly vendor: string;
  readonly tags: readonly string[];
  readonly description: string;
  /** Names of what the variants differ in. */
  readonly options?: readonly string[];
  readonly variants: readonly DemoVariant[];
}

interface DemoVariant {
  readonly sku: string;
  readonly options?: readonly string[];
  /** In euros. */
  readonly price: string;
  /** What it cost before, when it is on sale. */
  readonly was?: string;
  readonly grams: number;
  readonly stock: number;
}

/** Imports the demo catalogue, the goods of a small trading company. A repeat resets what has been changed since, but no stock. */
export async function seedDemo(clients: Clients): Promise<ImportTally> {
  return importCatalogue(demoProducts(), {
    clients,
    bookDifference: false,
    note: "demo catalogue",
    report: ({ message, handle }) => {
      throw new CommandError(`the demo product ${handle} cannot be imported: ${message}`);
    },
  });
}

async function* demoProducts(): AsyncGenerator<ReadProduct> {
  const products = JSON.parse(await readFile(new URL("./products.json", import.meta.url), "utf8")) as readonly DemoProduct[];
  for (const [at, product] of products.entries()) yield { handle: product.handle, entry: entryOf(product, at + 1) };
}

function entryOf(
  { category, description, options = [], variants, ...product }: DemoProduct,
  line: number,
): NonNullable<ReadProduct["entry"]> {
  const euros = (amount: string) => ({ currency: "EUR", amount });
  return {
    line,
    product: create(ImportedProductSchema, {
      product: {
        ...product,
        tags: [...product.tags],
        descriptionHtml: `<p>${description}</p>`,
        options: options.map((name, nth) => ({ name, values: [...new Set(variants.map((variant) => variant.options![nth]!))] })),
        variants: variants.map(({ sku, options: choices = [], price, was, grams }) => ({
          sku,
          options: [...choices],
          price: euros(price),
          ...(was !== undefined && { compareAtPrice: euros(was) }),
          weightGrams: grams,
        })),
        status: ProductStatus.PUBLISHED,
      },
      categoryNames: [category],
    }),
    stock: variants.map(({ sku, stock }) => ({ sku, onHand: stock })),
    lines: new Map(variants.map(({ sku }) => [sku, line])),
    generatedSkus: 0,
  };
}
