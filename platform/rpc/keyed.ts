import type { DescMethodUnary, Message } from "@bufbuild/protobuf";
import type { Call } from "../call/call.ts";
import { resourceKeyOf } from "../call/idempotency-key.ts";
import type { ResourceKey } from "../call/resource-key.ts";
import type { MethodContract } from "../contract/contract.ts";
import type { Transaction } from "../database/database.ts";
import { idempotent } from "../database/idempotency.ts";
import type { KeyStore } from "../database/idempotency.ts";
import { SeenVersion } from "../database/seen-version.ts";

// The forms of handlers that honour an idempotency key. A method whose contract says so is served in one of them, and no other method is: see
// `Idempotency` in the contract. Each gets the version that the caller has seen, to hand to what locks the resource. A command that ends well without having
// compared a version or looked for a key that came with it is a fault, and in a transaction it is rolled back.

/** One transaction stores the effect and the reply. */
interface KeyedTransaction<Request, Init, Reply> {
  readonly form: "transaction";
  readonly work: (request: Request, call: Call, tx: Transaction, seen: SeenVersion) => Promise<Init>;
  readonly beforeReply: ((reply: Reply) => Promise<void>) | undefined;
  readonly followUp: ((reply: Reply, request: Request, call: Call) => Promise<Init>) | undefined;
}

/** The key is stored with the resource that it belongs to. */
interface PerResource<Request, Init> {
  readonly form: "resource";
  readonly handle: (request: Request, call: Call, key: ResourceKey, seen: SeenVersion) => Promise<Init>;
}

/** The handler honours the key by other means. */
interface OwnKey<Request, Init> {
  readonly form: "own";
  readonly handle: (request: Request, call: Call, seen: SeenVersion) => Promise<Init>;
}

export type KeyedHandler<Request, Init, Reply> =
  | KeyedTransaction<Request, Init, Reply>
  | PerResource<Request, Init>
  | OwnKey<Request, Init>;

/**
 * Does the work in a transaction, once per key: a repeat gets the first reply. `beforeReply` runs after the commit, and before a repeat's
 * reply too: it is for what a process that ended right after the commit has not done.
 */
export function keyed<Request, Init, Reply>(
  work: (request: Request, call: Call, tx: Transaction, seen: SeenVersion) => Promise<Init>,
  { beforeReply }: { readonly beforeReply?: (reply: Reply) => Promise<void> } = {},
): KeyedTransaction<Request, Init, Reply> {
  return { form: "transaction", work, beforeReply, followUp: undefined };
}

/**
 * For an effect that other services have a part in: `decide` decides and records it in a transaction, once per key, with what a task needs to carry it
 * out. Then `carryOut` does that at once, for the first call alone, and what it gives is the reply from then on. Whatever fails in it is left to the task: it
 * gives the resource as it is.
 */
export function keyedDecision<Request, Init, Reply>(
  decide: (request: Request, call: Call, tx: Transaction, seen: SeenVersion) => Promise<Init>,
  carryOut: (decided: Reply, request: Request, call: Call) => Promise<Init>,
): KeyedTransaction<Request, Init, Reply> {
  return { form: "transaction", work: decide, beforeReply: undefined, followUp: carryOut };
}

/** For a change of one resource that stores the key with it: `key` says whether the call is a repeat, and what to store. */
export function keyedPerResource<Request, Init>(
  handle: (request: Request, call: Call, key: ResourceKey, seen: SeenVersion) => Promise<Init>,
): PerResource<Request, Init> {
  return { form: "resource", handle };
}

/** A handler that honours the key itself: say beside it by what. */
export function ownKey<Request, Init>(handle: (request: Request, call: Call, seen: SeenVersion) => Promise<Init>): OwnKey<Request, Init> {
  return { form: "own", handle };
}

type Handle = (request: Message, call: Call) => Promise<Record<string, unknown>>;
type AnyKeyed = KeyedHandler<Message, Record<string, unknown>, Message>;

const formsOf: Readonly<Record<MethodContract["keys"], readonly (AnyKeyed["form"] | "plain")[]>> = {
  reply: ["transaction", "own"],
  resource: ["resource"],
  unneeded: ["plain"],
  refused: ["plain"],
};

/** Throws unless the handler honours an idempotency key exactly as its contract says. */
export function checkKeyed(handler: object, { service, method, keys }: MethodContract): void {
  const name = `${service.typeName}.${method.name}`;
  const form = typeof handler === "function" ? "plain" : (handler as AnyKeyed).form;
  if (formsOf[keys].includes(form)) return;
  if (keys === "resource") throw new Error(`the contract of ${name} stores an Idempotency-Key with the resource, and its handler does not`);
  if (keys === "reply")
    throw new Error(`the contract of ${name} honours an Idempotency-Key, and its handler does not: see platform/rpc/keyed.ts`);
  throw new Error(`the handler of ${name} honours an Idempotency-Key, and its contract says that a key has no effect`);
}

/** The handler with its key's rules around it. Throws when its replies are to be stored and there is no store. */
export function honourKey(handler: AnyKeyed, method: DescMethodUnary, store: KeyStore | undefined): Handle {
  const name = `${method.parent.typeName}.${method.name}`;
  if (handler.form === "own") return (request, call) => comparing(name, request, (seen) => handler.handle(request, call, seen));
  if (handler.form === "resource")
    return async (request, call) => {
      const key = resourceKeyOf({ call, method, request });
      const reply = await comparing(name, request, (seen) => handler.handle(request, call, key, seen));
      if (key.isIgnored) throw new Error(`${name} has not looked for its Idempotency-Key`);
      return reply;
    };
  if (store === undefined) throw new Error(`${name} stores its replies, and its service has no database for them`);
  const { database, clock } = store;
  const { work, beforeReply, followUp } = handler;
  const once = (request: Message, call: Call): Promise<Message> =>
    idempotent({
      database,
      clock,
      call,
      method,
      request,
      work: (tx) => comparing(name, request, (seen) => work(request, call, tx, seen)),
      followUp: followUp && ((reply) => followUp(reply, request, call)),
    });
  if (beforeReply === undefined) return once;
  return async (request, call) => {
    const reply = await once(request, call);
    await beforeReply(reply);
    return reply;
  };
}

/** Does a command with the version that its caller has seen. Throws when it ends well without having compared that. */
async function comparing<Reply>(name: string, request: Message, command: (seen: SeenVersion) => Promise<Reply>): Promise<Reply> {
  const seen = new SeenVersion((request as Message & { readonly version?: number }).version);
  const reply = await command(seen);
  if (seen.isIgnored) throw new Error(`${name} has compared its request's version with nothing`);
  return reply;
}
