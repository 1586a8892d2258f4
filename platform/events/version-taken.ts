import { sqlState } from "../database/database.ts";

/** Whether a statement failed because that version of the stream is recorded already. For users of `appendSql`. */
export function isVersionTaken(error: unknown): boolean {
  return sqlState(error) === "23505" && constraintOf(error) === "events_stream_version";
}

function constraintOf(error: unknown): string | undefined {
  for (let at: unknown = error; at instanceof Error; at = at.cause)
    if ("constraint" in at && typeof at.constraint === "string") return at.constraint;
  return undefined;
}
