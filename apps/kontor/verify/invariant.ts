import type { Queries } from "@kontor/platform/database/database.ts";
import type { ServiceFacts } from "@kontor/platform/service/facts.ts";
import type { Backlog } from "./backlog.ts";

/** Something that breaks an invariant. */
export interface Breach {
  /** The id of the thing concerned: in a second look it is the same breach when it is about the same thing. */
  readonly about: string;
  /** What is wrong with it, in words and with its ids. */
  readonly text: string;
}

/** What must hold in a shop, and how that is found out. */
export interface Invariant {
  /** As reliability.md numbers it: "I1". */
  readonly id: string;
  readonly title: string;
  /** What `looked` counts: "SKUs". */
  readonly counts: string;
  /** Yields what breaks it. Reads page by page, in statements that are short beside a running shop. */
  check(look: Look): AsyncIterable<Breach>;
}

/** One look at the whole shop. */
export interface Look {
  /** What a service says about its database. Throws when that is not among the databases. */
  of<Facts>(facts: ServiceFacts<Facts>): Facts;
  /** By service, with "mailbox" and "provider": for what the platform says about each. */
  readonly databases: ReadonlyMap<string, Queries>;
  /** One of them. Throws when it is not there. */
  database(name: string): Queries;
  /** Whether a shop runs on these databases. */
  readonly running: boolean;
  /** The shop's time. */
  readonly now: Date;
  /** Whether mails go to the mailbox; if not, they cannot be counted. */
  readonly mailsCaught: boolean;
  /** Events that their subscribers have not applied yet. */
  readonly backlog: Backlog;
  /** Counts what was looked at. */
  looked(count: number): void;
  /** Something to know that breaks nothing. */
  note(text: string): void;
}
