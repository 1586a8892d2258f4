// A turn of the event loop handles all that has arrived: requests on many sockets, and results. What is gathered until its end goes together.

let gathered: (() => void)[] = [];
let flushes: (() => void)[] = [];
let ending = false;

/** Runs `work` at the end of this turn, when all that arrived in it has been handled. It must not throw. */
export function atTurnEnd(work: () => void): void {
  gathered.push(work);
  endTurnSoon();
}

/** Runs `flush` after everything that is done at the end of this turn, and what follows from that without waiting. It must not throw. */
export function afterTurn(flush: () => void): void {
  flushes.push(flush);
  endTurnSoon();
}

function endTurnSoon(): void {
  if (ending) return;
  ending = true;
  setImmediate(endTurn);
}

function endTurn(): void {
  ending = false;
  const works = gathered;
  gathered = [];
  for (const work of works) work();
  // A tick that a microtask asks for comes when no microtask is left, so after all that `works` have begun and that need not wait.
  queueMicrotask(() => process.nextTick(flushAll));
}

function flushAll(): void {
  const now = flushes;
  flushes = [];
  for (const flush of now) flush();
}
