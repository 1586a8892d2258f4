import { performance } from "node:perf_hooks";
import type { SessionState } from "@kontor/platform/rpc/session-state.ts";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";

/** Sessions in one question: more go into the next. */
const batchMax = 500;
/** After a question that was not answered nobody is asked for so long: a request must not wait for who is away. */
const pauseMs = 1000;

export interface SessionQuestionsOptions {
  /** Gives those of these sessions that are live, as it is when it is called or later. */
  readonly check: (sessions: readonly string[]) => Promise<readonly string[]>;
  readonly log: Logger;
  readonly nowMs?: () => number;
}

/** Asks what a session is at this moment or a later one; gives undefined while nobody can say. Never rejects. */
export type AskSession = (session: string) => Promise<SessionState | undefined>;

interface Question {
  readonly answer: Promise<SessionState | undefined>;
  readonly settle: (answer: SessionState | undefined) => void;
}

/**
 * Asks for many requests at once: one question is under way, and who comes meanwhile goes into the next one. Nobody joins a question that is
 * under way, because it may have been answered before the session ended.
 */
export function createSessionQuestions({ check, log, nowMs = () => performance.now() }: SessionQuestionsOptions): AskSession {
  let waiting = new Map<string, Question>();
  let asking = false;
  let pausedUntilMs = -Infinity;

  async function askAll(): Promise<void> {
    asking = true;
    while (waiting.size > 0) {
      const batch = takeBatch();
      try {
        const live = new Set(await check([...batch.keys()]));
        for (const [session, { settle }] of batch) settle(live.has(session) ? "live" : "ended");
        if (pausedUntilMs > 0) log.info({}, "sessions are checked again");
        pausedUntilMs = -Infinity;
      } catch (error) {
        if (pausedUntilMs < 0) log.warn({ error }, "sessions cannot be checked; verified access tokens are taken as they are");
        pausedUntilMs = nowMs() + pauseMs;
        for (const { settle } of [...batch.values(), ...waiting.values()]) settle(undefined);
        waiting = new Map();
      }
    }
    asking = false;
  }

  function takeBatch(): Map<string, Question> {
    const batch = waiting;
    waiting = new Map();
    if (batch.size > batchMax)
      for (const [session, question] of [...batch].slice(batchMax)) {
        batch.delete(session);
        waiting.set(session, question);
      }
    return batch;
  }

  return (session) => {
    const known = waiting.get(session);
    if (known !== undefined) return known.answer;
    if (nowMs() < pausedUntilMs) return Promise.resolve(undefined);
    const { promise: answer, resolve: settle } = Promise.withResolvers<SessionState | undefined>();
    waiting.set(session, { answer, settle });
    if (!asking) void askAll();
    return answer;
  };
}
