import type { Logger } from "../telemetry/logger.ts";
import { afterTests } from "../testing/postgres.ts";
import { createRedisCache } from "./redis.ts";
import type { RedisCache } from "./redis.ts";

/** A process's cache in a test of outages, with its log lines. */
export interface WatchedCache extends RedisCache {
  readonly lines: readonly string[];
  /** Resolves when so many lines have been logged: the first says that Redis is unreachable, the second that it is connected again. */
  logged(count: number): Promise<void>;
}

/** A cache as the shop has it, stopped after the test. It is connected to Redis unless `connects` is false. */
export async function openWatchedCache(urls: readonly string[], prefix: string, connects = true): Promise<WatchedCache> {
  const lines: string[] = [];
  const waiting = new Set<() => void>();
  const write = (_: object, message: string): void => {
    lines.push(message);
    for (const look of waiting) look();
  };
  const log: Logger = { debug: () => undefined, info: write, warn: write, error: write, child: () => log };
  // Longer than in the shop: these tests are about real outages, and the machine may be busy with others.
  const cache = createRedisCache({ urls, prefix, log, callTimeoutMs: 200 });
  afterTests(() => cache.stop());
  await cache.start();
  if (connects) await connected(cache);
  return {
    ...cache,
    lines,
    logged: (count) =>
      new Promise((resolve) => {
        const look = (): void => {
          if (lines.length < count) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
      }),
  };
}

/** Resolves when a cache that was started is connected to Redis, which may take a busy machine longer than a start waits. */
export async function connected(cache: RedisCache): Promise<void> {
  while ((await cache.get("connected")) === undefined) {
    await cache.set("connected", true, 60_000);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Resolves when a cache gives a value: it gives none while Redis is suspect, which a busy machine may be the reason for. */
export async function gives(cache: RedisCache, key: string, value: unknown): Promise<void> {
  while ((await cache.get(key)) !== value) await new Promise((resolve) => setImmediate(resolve));
}
