import { createHash } from "node:crypto";
import { ErrorReply } from "@redis/client";

/** A Lua script, known to the server by its hash once it has run there. */
export interface RedisScript {
  readonly text: string;
  readonly hash: string;
}

export function redisScript(text: string): RedisScript {
  return { text, hash: createHash("sha1").update(text).digest("hex") };
}

/**
 * Runs a script by its hash. A server that does not know it (it was restarted, or has taken over) has done nothing and gets the text. All keys
 * must be on one server.
 */
export async function runScript(
  send: (key: string, args: readonly string[]) => Promise<unknown>,
  { text, hash }: RedisScript,
  keys: readonly string[],
  args: readonly string[],
): Promise<unknown> {
  const rest = [String(keys.length), ...keys, ...args];
  try {
    return await send(keys[0]!, ["EVALSHA", hash, ...rest]);
  } catch (error) {
    if (!(error instanceof ErrorReply) || !error.message.startsWith("NOSCRIPT")) throw error;
    return send(keys[0]!, ["EVAL", text, ...rest]);
  }
}
