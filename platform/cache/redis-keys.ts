/** The names of a cache's keys in Redis, by the number of a key's hash tag: all keys of a tag are on one server of a cluster. */
export interface RedisKeys {
  tagOf(key: string): number;
  /** Each tag's key of its epoch. */
  readonly epochs: readonly string[];
  /** What the names of values, counters, locks and fences begin with. */
  readonly values: readonly string[];
  readonly counters: readonly string[];
  readonly locks: readonly string[];
  readonly fences: readonly string[];
}

/** Over how many hash tags the keys of a cluster are spread. */
const clusterTags = 32;

export function redisKeys(prefix: string, cluster: boolean): RedisKeys {
  const tags = cluster ? Array.from({ length: clusterTags }, (_, tag) => `${prefix}:${tag}`) : [prefix];
  const names = (suffix: string): string[] => tags.map((tag) => `{${tag}}:${suffix}`);
  return {
    tagOf: (key) => (tags.length === 1 ? 0 : hashOf(key) % tags.length),
    epochs: names("epoch"),
    values: names("v:"),
    counters: names("c:"),
    locks: names("l:"),
    fences: names("f:"),
  };
}

/** A time to live as Redis takes it: whole milliseconds, at least one. */
export function ttlText(ttlMs: number): string {
  return String(Math.max(1, Math.ceil(ttlMs)));
}

/** FNV-1a. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return hash >>> 0;
}
