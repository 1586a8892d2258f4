import type { DescField, DescMethod } from "@bufbuild/protobuf";
import { WaitSchema } from "@kontor/contracts/gen/kontor/api/v1/common_pb.js";
import type { Rest } from "@kontor/contracts/gen/kontor/api/v1/options_pb.js";
import { isOutputOnly } from "./element.ts";

/**
 * The request's field by which a read waits for a change; undefined when the contract names none. Throws for one that is no `Wait`, that a
 * client could set itself, or that belongs to a method which is no read with one reply.
 */
export function waitFieldOf(
  method: DescMethod,
  { rest, reads }: { readonly rest: Rest | undefined; readonly reads: boolean },
): DescField | undefined {
  if (rest === undefined || rest.wait === "") return undefined;
  const name = `${method.parent.typeName}.${method.name}`;
  if (!reads || method.methodKind !== "unary") throw new Error(`${name} cannot wait for a change: it is no read with one reply`);
  const field = method.input.fields.find((one) => one.name === rest.wait);
  if (field?.message?.typeName !== WaitSchema.typeName || field.fieldKind !== "message" || !isOutputOnly(field))
    throw new Error(`${name} waits by ${rest.wait}, which is not an output-only field of type ${WaitSchema.typeName}`);
  return field;
}
