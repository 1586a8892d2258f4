import type { DescEnum, DescService } from "@bufbuild/protobuf";
import { getOption, hasOption } from "@bufbuild/protobuf";
import { Allow, refusal } from "@kontor/contracts/gen/kontor/api/v1/options_pb.js";
import { contracts } from "@kontor/contracts/registry.ts";
import { methodsOf } from "@kontor/platform/contract/contract.ts";
import type { HttpBinding, MethodContract } from "@kontor/platform/contract/contract.ts";

/** One way in, as the contracts promise it: a method at one verb and path. */
export interface Operation {
  readonly name: string;
  readonly contract: MethodContract;
  readonly binding: HttpBinding;
  readonly isPublic: boolean;
  /** Only for some roles. */
  readonly forRoles: boolean;
  readonly takesJson: boolean;
  /** An Idempotency-Key is not refused. */
  readonly takesKey: boolean;
}

/** Every way in that the contracts know. */
export const allOperations: readonly Operation[] = [...contracts]
  .filter((description): description is DescService => description.kind === "service")
  .flatMap((service) => methodsOf(service))
  .flatMap((contract) =>
    contract.bindings.map((binding) => ({
      name: `${binding.verb} ${binding.path}`,
      contract,
      binding,
      isPublic: contract.allow.includes(Allow.PUBLIC),
      forRoles: !contract.allow.some((who) => who === Allow.PUBLIC || who === Allow.AUTHENTICATED),
      takesJson: binding.body === "*" && contract.rest?.rawBody !== true,
      takesKey: contract.keys !== "refused",
    })),
  );

/** Those that answer once: streams have no end. */
export const operations = allOperations.filter(({ contract }) => !contract.streams);

/** The names in a path: "order" of "/v1/orders/{order}". */
export function namesIn(path: string): readonly string[] {
  return [...path.matchAll(/\{([^}]+)\}/g)].map(([, name]) => name!);
}

/** The path with these values in it; what has none gets a value that names nothing. */
export function pathOf({ binding }: Operation, values: Readonly<Record<string, string>> = {}): string {
  return binding.path.replaceAll(/\{([^}]+)\}/g, (_, name: string) => encodeURIComponent(values[name] ?? `no-${name}`));
}

const statusOf: Readonly<Record<string, number>> = {
  invalid_argument: 400,
  unauthenticated: 401,
  permission_denied: 403,
  not_found: 404,
  failed_precondition: 409,
  aborted: 409,
  already_exists: 409,
  resource_exhausted: 429,
  unimplemented: 501,
  internal: 500,
  unavailable: 503,
  deadline_exceeded: 504,
};

/** What the contracts say about each reason: its code and the status over HTTP, as the table in the documentation maps it. */
export const reasons: ReadonlyMap<string, { readonly code: string; readonly status: number }> = new Map(
  [...contracts]
    .filter((description): description is DescEnum => description.kind === "enum")
    .flatMap(({ values }) => values)
    .filter((value) => hasOption(value, refusal))
    .map((value) => {
      const { code, status } = getOption(value, refusal);
      return [value.name, { code, status: status === 0 ? statusOf[code]! : status }];
    }),
);
