import { fromBinary } from "@bufbuild/protobuf";
import { performance } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { backoffMs } from "../retry/backoff.ts";
import type { SagaOwner } from "./saga-owner.ts";
import type { SagaRow, SagaStore } from "./saga-store.ts";
import type { AnySaga, SagaResult } from "./saga.ts";
import { isStoredForKey, isUnavailable, restoreRefusal } from "./stored-refusal.ts";

const polling = { pauseMsMin: 10, pauseMsMax: 250 };

/** How sagas end, whichever process runs them. */
export interface SagaOutcomes {
  /** How the saga ends, or "running" at `untilMs` of the monotonic clock. */
  of(id: string, untilMs: number): Promise<SagaResult>;
  resultOf(row: SagaRow): SagaResult;
  /** The same for the row that has a key, of a saga or of one that joined it; undefined when the key is free after all. */
  ofKey(row: SagaRow, untilMs: number): Promise<SagaResult | undefined>;
  /** Throws for a saga that the service does not define. */
  definitionOf(name: string): AnySaga;
}

export function createSagaOutcomes({
  service,
  store,
  definitions,
  owner,
}: {
  readonly service: string;
  readonly store: SagaStore;
  readonly definitions: ReadonlyMap<string, AnySaga>;
  readonly owner: SagaOwner;
}): SagaOutcomes {
  function definitionOf(name: string): AnySaga {
    const definition = definitions.get(name);
    if (definition === undefined) throw new Error(`${service} has no saga ${name}`);
    return definition;
  }

  function resultOf({ id: own, name, status, reply, refusal, joins }: SagaRow): SagaResult {
    const id = joins ?? own;
    if (status === "REFUSED" || (status === "UNDOING" && isUnavailable(refusal!)))
      return { status: "refused", id, refusal: restoreRefusal(refusal!) };
    if (status !== "DONE") return { status: "running", id };
    return { status: "done", id, reply: fromBinary(definitionOf(name).output, reply!) };
  }

  async function of(id: string, untilMs: number): Promise<SagaResult> {
    for (let polls = 1; ; polls++) {
      const waitMs = backoffMs(polling, polls);
      const end = await owner.ended(id, untilMs);
      if (end?.status === "done") return { status: "done", id, reply: end.reply };
      if (end?.status === "refused") return { status: "refused", id, refusal: end.refusal };
      if (end?.status === "running") return { status: "running", id };
      const row = await store.find(id);
      if (row === undefined) throw new Error(`the saga ${id} does not exist`);
      const result = resultOf(row);
      if (result.status !== "running" || performance.now() + waitMs >= untilMs) return result;
      await sleep(waitMs);
    }
  }

  async function ofKey(row: SagaRow, untilMs: number): Promise<SagaResult | undefined> {
    if (row.joins === null) return of(row.id, untilMs);
    if (row.status === "DONE") return resultOf(row);
    const result = await of(row.joins, untilMs);
    if (result.status !== "refused" || isStoredForKey(result.refusal)) return result;
    await store.leave(row.id);
    return undefined;
  }

  return { of, ofKey, resultOf, definitionOf };
}
