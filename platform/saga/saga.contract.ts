import { describe } from "node:test";
import { openTestSagas } from "./open-test-sagas.ts";
import type { SagasHarness } from "./open-test-sagas.ts";
import { sagaKeys } from "./saga-keys.contract.ts";
import { sagaOutcomes } from "./saga-outcomes.contract.ts";
import { sagaRecovery } from "./saga-recovery.contract.ts";

/** The suite that every engine of sagas passes. */
export function sagasContract(name: string, open: () => Promise<SagasHarness>): void {
  describe(`sagas: ${name}`, () => {
    const setup = openTestSagas(open);
    sagaOutcomes(setup);
    sagaKeys(setup);
    sagaRecovery(setup);
  });
}
