/**
 * Loads a key's value for the first caller, and once more for all callers that come meanwhile: each gets the result of a load that began after
 * its call. So without a shared cache the database loads a list once at a time, not for every caller.
 */
export function coalesceLoads<Value>(): (key: string, load: () => Promise<Value>) => Promise<Value> {
  const loading = new Map<string, { readonly now: Promise<Value>; next?: Promise<Value> }>();
  const start = (key: string, load: () => Promise<Value>): Promise<Value> => {
    const current = { now: load() };
    loading.set(key, current);
    const end = (): void => {
      if (loading.get(key) === current) loading.delete(key);
    };
    current.now.then(end, end);
    return current.now;
  };
  return (key, load) => {
    const current = loading.get(key);
    if (current === undefined) return start(key, load);
    // A failure is for the callers of the load that runs now.
    return (current.next ??= current.now.catch(() => undefined).then(() => start(key, load)));
  };
}
