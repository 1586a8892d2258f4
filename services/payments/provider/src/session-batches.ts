import { createBatch } from "@kontor/platform/batch/batch.ts";
import type { BatchItem } from "@kontor/platform/batch/batch.ts";
import { createLookup } from "@kontor/platform/batch/lookup.ts";
import type { Queries } from "@kontor/platform/database/database.ts";
import { closeOpenSessions, decideSessions, findSessions, findSessionsByPage, insertSessions } from "./session-store.ts";
import type { Decision, NewSession, SessionRow, Undecided } from "./session-store.ts";

/** Sessions, read and written together with all others that are at the same time: a statement each. */
export interface SessionBatches {
  /** Stores a new session. Gives the one that has its key when there is one: its page is another. */
  open(session: NewSession): Promise<SessionRow>;
  /** Closes a session that is open, or that never was. Gives it as it then is. */
  close(closing: Closing): Promise<SessionRow>;
  /** Decides a session, with its charge and its webhook. Gives it as it then is, or undefined when there is no such session, or another request has decided it. */
  decide(undecided: Undecided, decision: Decision): Promise<SessionRow | undefined>;
  find(key: string): Promise<SessionRow | undefined>;
  findByPage(page: string): Promise<SessionRow | undefined>;
}

type Rows = Pick<Queries, "rows">;

interface Closing {
  readonly key: string;
  readonly at: Date;
}

/** Without calls: a request that has arrived is executed, whether or not anybody waits for the response. */
export function createSessionBatches(database: Rows): SessionBatches {
  const opening = createBatch<NewSession, SessionRow>({ name: "provider.open", execute: (items) => openAll(database, items) });
  const closing = createBatch<Closing, SessionRow>({ name: "provider.close", execute: (items) => closeAll(database, items) });
  const deciding = (undecided: Undecided) =>
    createBatch<Decision, SessionRow | undefined>({
      name: `provider.decide.${undecided}`,
      execute: (items) => decideAll(database, undecided, items),
    });
  const decisions = { open: deciding("open"), processing: deciding("processing") };
  const byKey = createLookup("provider.read", (keys) => findSessions(database, keys));
  const byPage = createLookup("provider.page", (pages) => findSessionsByPage(database, pages));
  return {
    open: (session) => opening.run(session),
    close: (one) => closing.run(one),
    decide: (undecided, decision) => decisions[undecided].run(decision),
    find: (key) => byKey.find(key),
    findByPage: (page) => byPage.find(page),
  };
}

async function openAll(database: Rows, items: readonly BatchItem<NewSession>[]): Promise<(SessionRow | Error)[]> {
  const opened = await insertSessions(
    database,
    items.map(({ request }) => request),
  );
  const taken = items.flatMap(({ request: { key, page } }) => (opened.has(page) ? [] : [key]));
  const there = await findSessions(database, taken);
  return items.map(({ request }) => (opened.has(request.page) ? openSessionRow(request) : present(there, request.key)));
}

async function closeAll(database: Rows, items: readonly BatchItem<Closing>[]): Promise<(SessionRow | Error)[]> {
  const closed = await closeOpenSessions(database, [...firstOfEach(items, ({ key }) => key).values()]);
  const decided = items.flatMap(({ request: { key } }) => (closed.has(key) ? [] : [key]));
  const there = await findSessions(database, decided);
  return items.map(({ request: { key } }) => closed.get(key) ?? present(there, key));
}

/** Of those who pay one session at the same time, the first decides it. */
async function decideAll(database: Rows, undecided: Undecided, items: readonly BatchItem<Decision>[]): Promise<(SessionRow | undefined)[]> {
  const first = firstOfEach(items, ({ of }) => of);
  const decided = await decideSessions(database, undecided, [...first.values()]);
  return items.map(({ request }) => (first.get(request.of) === request ? decided.get(request.of) : undefined));
}

function firstOfEach<Request>(items: readonly BatchItem<Request>[], nameOf: (request: Request) => string): ReadonlyMap<string, Request> {
  // The last one set remains.
  return new Map(items.toReversed().map(({ request }) => [nameOf(request), request]));
}

function openSessionRow({ key, page, reference, amount, returnUrl }: NewSession): SessionRow {
  return { key, page, reference, status: "open", currency: amount.currency, amount: amount.minor, returnUrl, declineCode: "" };
}

/** No session is ever deleted, so one that has the key is there. */
function present(there: ReadonlyMap<string, SessionRow>, key: string): SessionRow | Error {
  return there.get(key) ?? new Error(`session ${key} is neither made nor there`);
}
