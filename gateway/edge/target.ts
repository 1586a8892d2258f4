import { getOption } from "@bufbuild/protobuf";
import type { DescService, Message } from "@bufbuild/protobuf";
import { access, Allow, secret } from "@kontor/contracts/gen/kontor/api/v1/options_pb.js";
import type { Call } from "@kontor/platform/call/call.ts";
import { methodsOf } from "@kontor/platform/contract/contract.ts";
import type { MethodContract } from "@kontor/platform/contract/contract.ts";
import { edgeCaller } from "@kontor/platform/rpc/access.ts";
import { isUrgent } from "@kontor/platform/rpc/concurrency-limiter.ts";
import type { Rpc } from "@kontor/platform/rpc/rpc.ts";

/** A method that requests are for, and what its contract says about admitting them; the same for every protocol. */
export interface Target {
  /** As it is served: "catalog". */
  readonly service: string;
  readonly contract: MethodContract;
  /** For a method with one response. */
  readonly invoke: (request: Message, call: Call) => Promise<Message>;
  /** For a method that streams its responses. */
  readonly open: (request: Message, call: Call) => AsyncIterable<Message>;
  /** Goes before others when requests queue. */
  readonly urgent: boolean;
  readonly isPublic: boolean;
  /** A token that is sent, perhaps an old one, is not looked at. */
  readonly ignoresToken: boolean;
  /** A token that is not accepted is refused, or what is refused for want of it; elsewhere its sender is a guest. */
  readonly needsAcceptedToken: boolean;
  /** The request carries a password, a code or a refresh token that somebody may be trying to find out. */
  readonly takesSecret: boolean;
}

/** Every method of every service that is served. Throws for a public one that stores replies under its callers' keys. */
export function* targetsOf(rpc: Pick<Rpc, "served" | "clientsFor">): Generator<Target> {
  // `permit` checks access: see `Edge`. Services of this process do not do it again.
  const clients = rpc.clientsFor(edgeCaller, { admitted: true });
  for (const [service, served] of rpc.served())
    for (const { service: description } of served) {
      const client = clients.of<DescService>(service, description) as Readonly<Record<string, Target["invoke"]>>;
      for (const contract of methodsOf(description)) yield targetOf(service, contract, client[contract.method.localName]!);
    }
}

function targetOf(service: string, contract: MethodContract, method: Target["invoke"]): Target {
  const isPublic = contract.allow.includes(Allow.PUBLIC);
  // A key is its caller's, and guests are nobody: one would get the reply that another's key has.
  if (isPublic && contract.keys === "reply")
    throw new Error(`${contract.method.parent.typeName}.${contract.method.name} is public and stores replies`);
  const ignoresToken = isPublic && getOption(contract.method, access).anonymous;
  return {
    service,
    contract,
    invoke: method,
    open: method as unknown as Target["open"], // the contract says which of the two it is
    urgent: isUrgent(contract),
    isPublic,
    ignoresToken,
    needsAcceptedToken: !isPublic || contract.byCaller,
    takesSecret: ignoresToken && contract.method.input.fields.some((field) => getOption(field, secret)),
  };
}
