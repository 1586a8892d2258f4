import type { Lane } from "./database.ts";
import type { Wire } from "./wire.ts";

/** A database as its budget sees it. */
export interface Holder {
  open(): Promise<Wire>;
  /** Gives back a connection that it holds: one that it does not use, one of several, or any. False when there is none such. */
  spare(which: Spare): boolean;
  /** Called about ten times a second while any connection is open. */
  tick(nowMs: number): void;
}

export type Spare = "unused" | "extra" | "any";

/** A connection that counts against the budget. */
export interface Seat {
  readonly holder: Holder;
  readonly lane: Lane;
  readonly wire: Wire;
  /** Whether it was taken as urgent, to be kept. */
  kept: boolean;
  idleSinceMs: number;
}

/** Who waits for a connection. */
export interface Waiter {
  readonly sinceMs: number;
  readonly urgent: boolean;
  readonly resolve: (seat: Seat) => void;
  readonly reject: (error: unknown) => void;
}

/** What a database has in a lane. */
export interface Account {
  readonly holder: Holder;
  /** Its connections, those being opened and closed included. */
  share: number;
  /** Those of them that single statements keep; the others come and go with transactions. */
  kept: number;
  /** First come first, the urgent before. */
  readonly waiting: Waiter[];
}

/** The connections of one lane. */
export interface LaneState {
  readonly lane: Lane;
  readonly connectionsMax: number;
  /** Those being opened and closed included. */
  open: number;
  closing: number;
  readonly accounts: Map<Holder, Account>;
  /** Longest unused first. */
  readonly idle: Seat[];
  waiting: number;
  patience: NodeJS.Timeout | undefined;
}

/**
 * A database that has no connection at all waits this long before it is given another's. In the background more of them wait for one, and
 * less waits for them.
 */
export const patienceMs: Readonly<Record<Lane, number>> = { requests: 50, background: 150 };

/** Takes the first of those who wait out of the line. */
export function nextOf(state: LaneState, { waiting }: Account): Waiter {
  state.waiting--;
  return waiting.shift()!;
}

/** A lane with no connection open. */
export function emptyLane(lane: Lane, connectionsMax: number): LaneState {
  return { lane, connectionsMax, open: 0, closing: 0, accounts: new Map(), idle: [], waiting: 0, patience: undefined };
}

/** The holder's account, made when it has none. */
export function accountOf({ accounts }: LaneState, holder: Holder): Account {
  let account = accounts.get(holder);
  if (account === undefined) accounts.set(holder, (account = { holder, share: 0, kept: 0, waiting: [] }));
  return account;
}

/** Notes whether a connection is kept. */
export function marked(state: LaneState, seat: Seat, kept: boolean): Seat {
  if (seat.kept !== kept) accountOf(state, seat.holder).kept += kept ? 1 : -1;
  seat.kept = kept;
  return seat;
}

/** Whether the first of those who wait has done so for long enough to be given another's connection. */
export function hasWaited({ lane }: LaneState, { waiting }: Account, nowMs: number): boolean {
  return nowMs - waiting[0]!.sinceMs > patienceMs[lane];
}

/** Whether those who wait have no connection at all to wait for. */
export function isBare({ share, kept, waiting }: Account): boolean {
  return waiting[0]!.urgent ? kept === 0 : share === kept;
}

/** Whether one still has as many for its transactions as the other when it has given one to it. */
export function hasMore(one: Account, other: Account): boolean {
  return one.share - one.kept > other.share - other.kept + 1;
}

/** Whose turn it is: the urgent, those who have least, who came first. Undefined when nobody waits. */
export function neediest({ accounts }: LaneState): Account | undefined {
  let first: Account | undefined;
  for (const account of accounts.values())
    if (account.waiting.length > 0 && (first === undefined || comesBefore(account, first))) first = account;
  return first;
}

function comesBefore(one: Account, other: Account): boolean {
  const [a, b] = [one.waiting[0]!, other.waiting[0]!];
  if (a.urgent !== b.urgent) return a.urgent;
  const [has, otherHas] = [one.share - one.kept, other.share - other.kept];
  return has === otherHas ? a.sinceMs < b.sinceMs : has < otherHas;
}
