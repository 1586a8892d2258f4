import { databaseTime } from "@kontor/platform/database/database-facts.ts";
import type { Queries } from "@kontor/platform/database/database.ts";
import type { ServiceFacts } from "@kontor/platform/service/facts.ts";
import { readBacklog, waitForSubscribers } from "./backlog.ts";
import { responsesInvariant } from "./i10-responses.ts";
import { terminalInvariant } from "./i11-terminal.ts";
import { stockInvariant } from "./i1-stock.ts";
import { soldInvariant } from "./i2-sold.ts";
import { paymentsInvariant } from "./i3-payments.ts";
import { moneyInvariant } from "./i4-money.ts";
import { historiesInvariant } from "./i6-histories.ts";
import { mailsInvariant } from "./i7-mails.ts";
import { appliedInvariant } from "./i8-applied.ts";
import { versionsInvariant } from "./i9-versions.ts";
import type { Invariant, Look } from "./invariant.ts";

/** All invariants that can be checked from what is stored, in the order of their ids. */
export const invariants: readonly Invariant[] = [
  stockInvariant,
  soldInvariant,
  paymentsInvariant,
  moneyInvariant,
  historiesInvariant,
  mailsInvariant,
  appliedInvariant,
  versionsInvariant,
  responsesInvariant,
  terminalInvariant,
];

export interface VerifyOptions {
  /** Whether a shop runs on these databases: then what is under way is waited for, and things must happen in time. False by default. */
  readonly running?: boolean;
  /** How long subscribers are waited for, each time: 15,000 by default. */
  readonly waitMs?: number;
  /** False when mails go elsewhere than to the mailbox. */
  readonly mailsCaught?: boolean;
  /** The shop's time: the database's clock by default. */
  readonly now?: () => Date;
  /** Only the invariants with these ids. */
  readonly only?: readonly string[];
  /** Called with each finding as soon as it is decided. */
  readonly found?: (finding: Finding) => void;
}

/** Whether an invariant holds. */
export interface Finding {
  readonly id: string;
  readonly title: string;
  /** What was looked at: `checked` of `counts`. */
  readonly checked: number;
  readonly counts: string;
  /** How many things break it: 0 when it holds. */
  readonly broken: number;
  /** The first of them, in words. */
  readonly breaches: readonly string[];
  readonly notes: readonly string[];
}

const breachesShown = 20;
/** With more than this, what a second look finds counts without having been found in the first. */
const suspectsMax = 100_000;

/**
 * Checks the invariants on all databases of a shop, by service name, with "mailbox" and "provider" where they are there. Reads only, in
 * short statements, and needs eight bytes of memory for an order.
 *
 * Databases cannot be read at one moment, and a shop may run meanwhile. So what is under way is no breach: what follows from an event that
 * its subscriber has not applied yet, and what a task is still to do. Beside a running shop the heads of all logs are taken first and
 * subscribers waited for until they have passed them; then all is checked, and whatever is found broken is checked once more after the
 * heads of that moment are passed. Only what is broken in both looks, about the same thing, is reported: what moved between two reads of one look
 * has arrived by the other.
 */
export async function verify(databases: ReadonlyMap<string, Queries>, options: VerifyOptions = {}): Promise<readonly Finding[]> {
  const { running = false, waitMs = 15_000, only, found = () => undefined } = options;
  const selected = invariants.filter(({ id }) => only === undefined || only.includes(id));
  const firstStuck = running ? await waitForSubscribers(databases, waitMs) : [];
  const look = await lookOn(databases, options);
  const findings: Finding[] = [];
  const suspicious = new Map<string, Suspects>();
  for (const invariant of selected) {
    const suspects = await suspectsOf(invariant, look);
    const again = running && suspects.about.size > 0;
    if (again) suspicious.set(invariant.id, suspects);
    else findings.push(reported(found, findingOf(invariant, suspects, invariant.id === "I8" ? firstStuck : [])));
  }
  if (suspicious.size > 0) {
    const stuck = await waitForSubscribers(databases, waitMs);
    const second = await lookOn(databases, options);
    for (const invariant of selected) {
      const before = suspicious.get(invariant.id);
      if (before === undefined) continue;
      const suspects = await suspectsOf(invariant, second, before);
      findings.push(reported(found, findingOf(invariant, suspects, invariant.id === "I8" ? stuck : [])));
    }
  }
  return findings.toSorted((a, b) => selected.findIndex(({ id }) => id === a.id) - selected.findIndex(({ id }) => id === b.id));
}

type OneLook = Omit<Look, "looked" | "note">;

async function lookOn(
  databases: ReadonlyMap<string, Queries>,
  { running = false, mailsCaught = true, now }: VerifyOptions,
): Promise<OneLook> {
  const database = (name: string): Queries => {
    const found = databases.get(name);
    if (found === undefined) throw new Error(`the database of ${name} is not among those to be verified`);
    return found;
  };
  const of = <Facts>({ service, from }: ServiceFacts<Facts>): Facts => from(database(service));
  const at = now?.() ?? (await databaseTime(database("orders")));
  return { of, databases, database, running, now: at, mailsCaught, backlog: await readBacklog(databases) };
}

interface Suspects {
  readonly about: ReadonlySet<string>;
  readonly broken: number;
  readonly breaches: readonly string[];
  readonly checked: number;
  readonly notes: readonly string[];
}

/** Looks at one invariant; with `before`, only for what was broken before. */
async function suspectsOf(invariant: Invariant, look: OneLook, before?: Suspects): Promise<Suspects> {
  const about = new Set<string>();
  const breaches: string[] = [];
  const notes: string[] = [];
  let broken = 0;
  let checked = 0;
  const counting = { ...look, looked: (count: number) => void (checked += count), note: (text: string) => void notes.push(text) };
  for await (const breach of invariant.check(counting)) {
    if (before !== undefined && before.about.size < suspectsMax && !before.about.has(breach.about)) continue;
    broken++;
    if (breaches.length < breachesShown) breaches.push(breach.text);
    if (about.size < suspectsMax) about.add(breach.about);
  }
  return { about, broken, breaches, checked, notes };
}

function findingOf({ id, title, counts }: Invariant, { broken, breaches, checked, notes }: Suspects, stuck: readonly string[]): Finding {
  return { id, title, checked, counts, broken: broken + stuck.length, breaches: [...stuck, ...breaches].slice(0, breachesShown), notes };
}

function reported(found: (finding: Finding) => void, finding: Finding): Finding {
  found(finding);
  return finding;
}
