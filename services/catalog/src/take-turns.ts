/**
 * Loads a key's value once for all who ask while it is being loaded, and once more after that: who comes later gets what a load gave that
 * began after they had come. So a cache that keeps nothing costs the database one load at a time of each list, not one for everybody.
 */
export function takeTurns<Value>(): (key: string, load: () => Promise<Value>) => Promise<Value> {
  const turns = new Map<string, { readonly now: Promise<Value>; next?: Promise<Value> }>();
  const start = (key: string, load: () => Promise<Value>): Promise<Value> => {
    const turn = { now: load() };
    turns.set(key, turn);
    const end = (): void => {
      if (turns.get(key) === turn) turns.delete(key);
    };
    turn.now.then(end, end);
    return turn.now;
  };
  return (key, load) => {
    const turn = turns.get(key);
    if (turn === undefined) return start(key, load);
    // Whoever loads now is told of a failure.
    return (turn.next ??= turn.now.catch(() => undefined).then(() => start(key, load)));
  };
}
