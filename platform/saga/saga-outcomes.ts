import { fromBinary } from "@bufbuild/protobuf";
import { performance } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { backoffMs } from "../retry/backoff.ts";
import type { SagaOwner } from "./saga-owner.ts";
import type { SagaRow, SagaStore } from "./saga-store.ts";
import type { AnySaga, SagaResult } from "./saga.ts";
import { isUnavailable, restoreRefusal } from "./stored-refusal.ts";

const polling = { pauseMsMin: 10, pauseMsMax: 250 };

/** How sagas end, whichever process runs them. */
export interface SagaOutcomes {
  /** How the saga ends, or "running" at `untilMs` of the monotonic clock. */
  of(id: string, untilMs: number): Promise<SagaResult>;
  resultOf(row: SagaRow): SagaResult;
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

  function resultOf({ id, name, status, reply, refusal }: SagaRow): SagaResult {
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

  return { of, resultOf, definitionOf };
}
