import type { DescMessage, Message, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import type { Queries } from "../database/database.ts";
import type { Refusal } from "../errors/refusal.ts";
import type { Call } from "../call/call.ts";
import type { Watch } from "../changes/changes.ts";

/**
 * One step: what it does in another service, and how that is undone. Both are called with the idempotency key `<saga>/<step>`, and both may
 * be called more than once, by a former owner of the saga too. So the other service must reply to a repeated `do` with its first reply; and
 * an `undo` must store a marker under the do's key, even where nothing was done yet, by which a late `do` is refused.
 *
 * The saga's fence is not sent along: it guards the saga's own row; the key and its marker guard the other services.
 */
export interface SagaStep<State> {
  /** Unique within the saga, never changed: it is part of the key. */
  readonly name: string;
  /** Whether a saga is undone when the first owner finds the service unavailable, instead of waiting for it without limit. */
  readonly undoWhenUnavailable?: boolean;
  /** Gives the state with what the call returned. A refusal with a decided code ends the saga; anything else is retried with the same key. */
  do(state: State, call: Call): Promise<State | void>;
  /** Gets the state as `begin` made it, because after a crash there is no other. Retried until it succeeds. */
  undo?(state: State, call: Call): Promise<void>;
}

/** Work in several services that is done as a whole, or undone as a whole. */
export interface SagaDefinition<I extends DescMessage, O extends DescMessage, State> {
  /** Unique within the service, never changed. */
  readonly name: string;
  readonly input: I;
  readonly output: O;
  /** The state to begin with. Pure: it is made again from the stored input after a crash. */
  begin(input: MessageShape<I>, sagaId: string, call: Call): State;
  readonly steps: readonly SagaStep<State>[];
  /** The reply to store. Holds ids, never personal data. */
  reply(state: State): MessageInitShape<O>;
}

/** Any definition, where its types do not matter. Only methods mention them, so that every definition is one of these. */
export type AnySaga = SagaDefinition<DescMessage, DescMessage, unknown>;

export interface SagaRequest<I extends DescMessage> {
  /** The new saga's id: `chk_…`. */
  readonly id: string;
  /** There is only one live saga for it at a time: a cart, for example. */
  readonly subject?: string | undefined;
  /** The idempotency key with its scope: caller, method and the caller's key in one text. */
  readonly key?: string | undefined;
  /** A hash of the request: the same key with another hash is refused. */
  readonly fingerprint: string;
  readonly input: MessageInitShape<I>;
  readonly call: Call;
}

/** The state of a saga. Its `id` may be another than the requested one: that of the saga that the key has already. */
export type SagaResult<Reply = Message> =
  | { readonly status: "done"; readonly id: string; readonly reply: Reply }
  | { readonly status: "refused"; readonly id: string; readonly refusal: Refusal }
  | { readonly status: "running"; readonly id: string };

export type FoundSaga = SagaResult & {
  readonly name: string;
  /** The id of the user who began it. */
  readonly user: string | undefined;
};

/** A saga that has its subject, and the input that says what it makes. */
export interface HoldingSaga<Input = Message> {
  readonly id: string;
  readonly input: Input;
}

/** Why none was begun: another saga has the subject. The key, if any, is still free. */
export interface HeldSubject<Input = Message> extends HoldingSaga<Input> {
  readonly status: "held";
}

/** A key with the call that it came with. */
type KeyedRequest<I extends DescMessage> = Pick<SagaRequest<I>, "fingerprint" | "call"> & { readonly key: string };

/** A service's sagas. */
export interface Sagas {
  /**
   * Begins a saga, unless the key has one already, and waits for its end until the call's deadline; past it, or while a service that it needs is
   * unavailable, the saga goes on by itself and is "running". Begins nothing when another saga has the subject: see `join`. One that is undone because a service was unavailable
   * is refused at once, and begins again with the same key after it has been undone. Refuses with IDEMPOTENCY_KEY_REUSED when the key came with another fingerprint, and with
   * OVERLOADED when this process is stopping.
   *
   * The key of a refusal that is not stored (such as not found) is free again.
   */
  run<I extends DescMessage, O extends DescMessage, State>(
    definition: SagaDefinition<I, O, State>,
    request: SagaRequest<I>,
  ): Promise<SagaResult<MessageShape<O>> | HeldSubject<MessageShape<I>>>;
  /** The result that this key has already; undefined when there is none. Begins nothing. */
  ofKey<I extends DescMessage, O extends DescMessage, State>(
    definition: SagaDefinition<I, O, State>,
    request: KeyedRequest<I>,
  ): Promise<SagaResult<MessageShape<O>> | undefined>;
  /** The end of a saga, as `run` waits for it. */
  ended<I extends DescMessage, O extends DescMessage, State>(
    definition: SagaDefinition<I, O, State>,
    id: string,
    call: Call,
  ): Promise<SagaResult<MessageShape<O>>>;
  /**
   * Stores under a key the result of another key's saga, as its caller is about to get it: a repeat gets the same reply, and of one that is running whatever
   * it ends with. A refusal is stored where the saga's own key keeps it. Gives false, having stored nothing, when the key has been used meanwhile: `run` finds
   * by whom. `id` is the new row's.
   */
  join<I extends DescMessage, O extends DescMessage, State>(
    definition: SagaDefinition<I, O, State>,
    request: KeyedRequest<I> & Pick<SagaRequest<I>, "id">,
    result: SagaResult<MessageShape<O>>,
  ): Promise<boolean>;
  find(id: string): Promise<FoundSaga | undefined>;
  /** Notices the end of a saga: at once when this process runs it. Its version is 0 while it is running and 1 afterwards. */
  watch(id: string): Watch;
  /** The sagas that have these subjects now: none for a subject that is free. Read with `queries`, which may be a transaction. */
  holders<I extends DescMessage, O extends DescMessage, State>(
    queries: Queries,
    definition: SagaDefinition<I, O, State>,
    subjects: readonly string[],
  ): Promise<readonly HoldingSaga<MessageShape<I>>[]>;
  /**
   * Frees the subjects of these sagas, because what each made has ended: another saga may begin for them. A subject that another saga has by now stays
   * with that one, however late or often this is called.
   */
  release(queries: Queries, ids: readonly string[]): Promise<void>;
}
