import type { DescMethodUnary, Message } from "@bufbuild/protobuf";
import type { Call } from "../call/call.ts";
import type { MethodContract } from "../contract/contract.ts";
import type { Transaction } from "../database/database.ts";
import { idempotent, storedReply } from "../database/idempotency.ts";
import type { KeyStore } from "../database/idempotency.ts";
import { outcomeUnknown, refusalIn } from "../errors/refusal.ts";
import type { Refusal } from "../errors/refusal.ts";

// The forms of handlers that honour an idempotency key. A method whose contract says HONOURED or REQUIRED is served in one of them, and no
// other method is: see `Idempotency` in the contract.

/** One transaction stores the effect and the reply. */
interface KeyedTransaction<Request, Init, Reply> {
  readonly form: "transaction";
  readonly work: (request: Request, call: Call, tx: Transaction) => Promise<Init>;
  readonly beforeReply: ((reply: Reply) => Promise<void>) | undefined;
}

/** The effect has steps outside a transaction, each of which may be repeated; the reply is stored when they have ended. */
interface KeyedSteps<Request, Init> {
  readonly form: "steps";
  readonly steps: (request: Request, call: Call) => Promise<void>;
  readonly reply: (request: Request, call: Call, tx: Transaction) => Promise<Init>;
}

/** The handler honours the key by other means. */
interface OwnKey<Request, Init> {
  readonly form: "own";
  readonly handle: (request: Request, call: Call) => Promise<Init>;
}

export type KeyedHandler<Request, Init, Reply> = KeyedTransaction<Request, Init, Reply> | KeyedSteps<Request, Init> | OwnKey<Request, Init>;

/**
 * Does the work in a transaction, once per key: a repeat gets the first reply. `beforeReply` runs after the commit, and before a repeat's
 * reply too: it is for what a process that ended right after the commit has not done.
 */
export function keyed<Request, Init, Reply>(
  work: (request: Request, call: Call, tx: Transaction) => Promise<Init>,
  { beforeReply }: { readonly beforeReply?: (reply: Reply) => Promise<void> } = {},
): KeyedTransaction<Request, Init, Reply> {
  return { form: "transaction", work, beforeReply };
}

/**
 * For an effect that is no single transaction, because it calls other services: the steps run unless the key has its reply, and must bear
 * to be repeated. Then their refusal, or else what `reply` reads, is stored as the reply. An outcome that is unknown is not stored.
 */
export function keyedSteps<Request, Init>(
  steps: (request: Request, call: Call) => Promise<void>,
  reply: (request: Request, call: Call, tx: Transaction) => Promise<Init>,
): KeyedSteps<Request, Init> {
  return { form: "steps", steps, reply };
}

/** A handler that honours the key itself: say beside it by what. */
export function ownKey<Request, Init>(handle: (request: Request, call: Call) => Promise<Init>): OwnKey<Request, Init> {
  return { form: "own", handle };
}

type Handle = (request: Message, call: Call) => Promise<Record<string, unknown>>;
type AnyKeyed = KeyedHandler<Message, Record<string, unknown>, Message>;

/** Throws unless the handler honours an idempotency key exactly when its contract says so. */
export function checkKeyed(handler: object, { service, method, honoursKey }: MethodContract): void {
  const name = `${service.typeName}.${method.name}`;
  if (honoursKey && typeof handler === "function")
    throw new Error(`the contract of ${name} honours an Idempotency-Key, and its handler does not: see platform/rpc/keyed.ts`);
  if (!honoursKey && typeof handler !== "function")
    throw new Error(`the handler of ${name} honours an Idempotency-Key, and its contract says that a key has no effect`);
}

/** The handler with its key's rules around it. Throws when its replies are to be stored and there is no store. */
export function honourKey(handler: AnyKeyed, method: DescMethodUnary, store: KeyStore | undefined): Handle {
  if (handler.form === "own") return handler.handle;
  if (store === undefined)
    throw new Error(`${method.parent.typeName}.${method.name} stores its replies, and its service has no database for them`);
  const { database, clock } = store;
  if (handler.form === "transaction") {
    const { work, beforeReply } = handler;
    const once = (request: Message, call: Call): Promise<Message> =>
      idempotent({ database, clock, call, method, request, work: (tx) => work(request, call, tx) });
    if (beforeReply === undefined) return once;
    return async (request, call) => {
      const reply = await once(request, call);
      await beforeReply(reply);
      return reply;
    };
  }
  const { steps, reply } = handler;
  return async (request, call) => {
    // Before anything is done: a key that was used for another request must not have an effect.
    const stored = await storedReply({ database, clock, call, method, request });
    if (stored !== undefined) return stored;
    const refusal = await refusalOf(() => steps(request, call));
    return idempotent({
      database,
      clock,
      call,
      method,
      request,
      work: async (tx) => {
        if (refusal !== undefined) throw refusal;
        return reply(request, call, tx);
      },
    });
  };
}

/** The refusal of some work whose outcome is known. Throws when it is not. */
async function refusalOf(work: () => Promise<void>): Promise<Refusal | undefined> {
  try {
    await work();
    return undefined;
  } catch (error) {
    const refusal = refusalIn(error);
    if (refusal === undefined || outcomeUnknown(error)) throw error;
    return refusal;
  }
}
