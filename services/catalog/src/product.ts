import { clone, create, equals } from "@bufbuild/protobuf";
import type { Message } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import {
  OptionSchema,
  ImageSchema,
  ProductSchema,
  ProductStatus,
  VariantSchema,
} from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import type { CreateProductRequest, Product, UpdateProductRequest, Variant } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import {
  ProductArchivedSchema,
  ProductCreatedSchema,
  ProductDeletedSchema,
  ProductPublishedSchema,
  ProductUpdatedSchema,
} from "@kontor/contracts/gen/kontor/catalog/v1/events_pb.js";
import { moneyFrom, moneyTo } from "@kontor/contracts/money.ts";
import type { FieldError } from "@kontor/platform/errors/refusal.ts";
import { refuse } from "@kontor/platform/errors/refusal.ts";

/** What a product is made of, before it has an id. It has a handle. */
export type ProductContent = Omit<CreateProductRequest, "$typeName" | "$unknown">;

export interface Circumstances {
  readonly id: string;
  readonly newVariantId: () => string;
  readonly at: Date;
}

/** A new product. Refuses with INVALID_REQUEST when options and variants do not fit together. */
export function newProduct(content: ProductContent, { id, newVariantId, at }: Circumstances): Product {
  checkContent(content);
  return create(ProductSchema, {
    ...contentOf(content, new Map(), newVariantId),
    id,
    version: 1,
    status: content.status === ProductStatus.PRODUCT_STATUS_UNSPECIFIED ? ProductStatus.DRAFT : content.status,
    createdAt: timestampFromDate(at),
    updatedAt: timestampFromDate(at),
  });
}

/** The product with another content; undefined when nothing changes. A variant with the same SKU has the same id. */
export function withContent(
  product: Product,
  content: ProductContent,
  { newVariantId, at }: Omit<Circumstances, "id">,
): Product | undefined {
  checkContent(content);
  const known = new Map(product.variants.map(({ sku, id }) => [sku, id]));
  const next = create(ProductSchema, {
    ...contentOf(content, known, newVariantId),
    id: product.id,
    version: product.version,
    status: content.status === ProductStatus.PRODUCT_STATUS_UNSPECIFIED ? product.status : content.status,
    createdAt: product.createdAt!,
    updatedAt: product.updatedAt!,
  });
  if (equals(ProductSchema, product, next)) return undefined;
  return changedAt(next, product.version + 1, at);
}

/** The fields that a PATCH names put over what the product has. */
export function patched(product: Product, request: UpdateProductRequest): ProductContent {
  const content: ProductContent = {
    title: product.title,
    handle: product.handle,
    descriptionHtml: product.descriptionHtml,
    vendor: product.vendor,
    categories: product.categories,
    tags: product.tags,
    options: product.options,
    variants: product.variants,
    images: product.images,
    status: product.status,
  };
  for (const path of request.updateMask?.paths ?? []) {
    const name = path.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
    if (Object.hasOwn(content, name) && name !== "status") Object.assign(content, { [name]: request[name as keyof UpdateProductRequest] });
    else if (name !== "version") throw invalid([{ field: name, reason: "UNKNOWN_FIELD", message: "cannot be changed" }]);
  }
  return content;
}

/** The product in another state; undefined when it is in it. */
export function withStatus(product: Product, status: ProductStatus, at: Date): Product | undefined {
  if (product.status === status) return undefined;
  const next = clone(ProductSchema, product);
  next.status = status;
  return changedAt(next, product.version + 1, at);
}

export type ChangeKind = "created" | "updated" | "published" | "archived" | "deleted";

/** The event of a change; it carries the product as it is afterwards. */
export function productEvent(kind: ChangeKind, product: Product): Message {
  const schema = {
    created: ProductCreatedSchema,
    updated: ProductUpdatedSchema,
    published: ProductPublishedSchema,
    archived: ProductArchivedSchema,
    deleted: ProductDeletedSchema,
  }[kind];
  return create(schema, { product });
}

/** "Ocean Blue Shirt (Small / Blue)": what a cart and an order call a variant. */
export function lineTitle(product: Pick<Product, "title">, variant: Pick<Variant, "title">): string {
  return variant.title === "" ? product.title : `${product.title} (${variant.title})`;
}

function contentOf(content: ProductContent, ids: ReadonlyMap<string, string>, newVariantId: () => string) {
  return {
    title: content.title,
    handle: content.handle,
    descriptionHtml: content.descriptionHtml,
    vendor: content.vendor,
    categories: content.categories,
    tags: content.tags,
    options: content.options.map(({ name, values }) => create(OptionSchema, { name, values })),
    images: content.images.map(({ url, alt }) => create(ImageSchema, { url, alt })),
    variants: content.variants.map((variant) =>
      create(VariantSchema, {
        id: ids.get(variant.sku) ?? newVariantId(),
        sku: variant.sku,
        title: variant.options.filter((value) => value !== "").join(" / "),
        options: variant.options,
        price: moneyTo(moneyFrom(variant.price!)),
        ...(variant.compareAtPrice && { compareAtPrice: moneyTo(moneyFrom(variant.compareAtPrice)) }),
        barcode: variant.barcode,
        weightGrams: variant.weightGrams,
        ...(variant.image && { image: create(ImageSchema, { url: variant.image.url, alt: variant.image.alt }) }),
      }),
    ),
  };
}

function changedAt(product: Product, version: number, at: Date): Product {
  product.version = version;
  product.updatedAt = timestampFromDate(at);
  return product;
}

/** What the contract's rules cannot say: that options and variants fit together. */
function checkContent({ options, variants }: Pick<ProductContent, "options" | "variants">): void {
  const problems: FieldError[] = [];
  const skus = new Set<string>();
  const choices = new Set<string>();
  const values = options.map((option) => new Set(option.values));
  for (const [at, variant] of variants.entries()) {
    if (skus.has(variant.sku)) problems.push({ field: `variants[${at}].sku`, reason: "NOT_UNIQUE", message: "is in another variant too" });
    skus.add(variant.sku);
    if (variant.options.length !== options.length)
      problems.push({
        field: `variants[${at}].options`,
        reason: "WRONG_LENGTH",
        message: `needs one value for each of the ${options.length} options`,
      });
    for (const [nth, value] of variant.options.entries())
      if (options[nth] !== undefined && !values[nth]!.has(value))
        problems.push({
          field: `variants[${at}].options[${nth}]`,
          reason: "NOT_FOUND",
          message: `is not a value of ${options[nth].name}`,
        });
    const choice = JSON.stringify(variant.options);
    if (choices.has(choice))
      problems.push({ field: `variants[${at}].options`, reason: "NOT_UNIQUE", message: "is another variant's choice too" });
    choices.add(choice);
    if (variant.compareAtPrice !== undefined && variant.compareAtPrice.currency !== variant.price?.currency)
      problems.push({ field: `variants[${at}].compareAtPrice.currency`, reason: "CURRENCY", message: "must be the price's currency" });
  }
  if (problems.length > 0) throw invalid(problems.slice(0, 20));
}

export function invalid(fields: readonly FieldError[]): Error {
  const [first] = fields;
  return refuse({
    reason: "INVALID_REQUEST",
    code: "invalid_argument",
    ...(first && { message: `${first.field} ${first.message}` }),
    fields,
  });
}
