import { sqlState } from "../database/database.ts";
import { refusalIn } from "../errors/refusal.ts";

const lengthMax = 500;

/**
 * What a failed task's row stores of its cause. A refusal's message is written by this project; a fault's message may hold anything, even an
 * address, so that only its class and PostgreSQL's code are stored. The whole error is in the log.
 */
export function failureCause(error: unknown): string {
  const refusal = refusalIn(error);
  if (refusal !== undefined) return `${refusal.reason}: ${refusal.message}`.slice(0, lengthMax);
  if (!(error instanceof Error)) return "a thrown value that is no error";
  const code = sqlState(error);
  return (code === undefined ? error.constructor.name : `${error.constructor.name} ${code}`).slice(0, lengthMax);
}
