/** Who takes a place: an account where somebody is signed in, and the origin (`Call.origin`) of the request. */
export interface Client {
  readonly account: string | undefined;
  readonly origin: string | undefined;
}

/** What holds a place. */
export interface Holder {
  readonly client: Client;
  /** Ends it, when its place is given to another. */
  readonly end: () => void;
}

export interface FairShareOptions {
  /** How many places there are. */
  readonly max: number;
  /** How many of them one account may have, however many are free. */
  readonly ofAccountMax: number;
}

/**
 * A bounded number of places for what lasts and may be ended early, such as streams, whose clients connect again. Nobody takes the places of all: when
 * none is free, a client gets one of the origin that has most, and there of the account that has most, unless it would then have as many itself.
 * Who has no client (a service of this shop) always gets one, and is never ended for another.
 */
export class FairShare {
  readonly #options: FairShareOptions;
  readonly #ofAccounts = new Map<string, number>();
  readonly #ofOrigins = new Map<string, Set<Holder>>();
  #taken = 0;

  constructor(options: FairShareOptions) {
    this.#options = options;
  }

  /** Takes a place, which is returned with `give`. False, having taken none, when the account has its maximum, or nobody has more than this client. */
  take(holder: Holder): boolean {
    const { account } = holder.client;
    if (account !== undefined && (this.#ofAccounts.get(account) ?? 0) >= this.#options.ofAccountMax) return false;
    if (this.#taken >= this.#options.max) {
      const victim = this.#victimOf(holder.client);
      if (victim === undefined) return false;
      this.give(victim);
      victim.end();
    }
    this.#taken++;
    if (account !== undefined) this.#ofAccounts.set(account, (this.#ofAccounts.get(account) ?? 0) + 1);
    const origin = originOf(holder.client);
    if (origin === undefined) return true;
    const held = this.#ofOrigins.get(origin);
    if (held === undefined) this.#ofOrigins.set(origin, new Set([holder]));
    else held.add(holder);
    return true;
  }

  /** Returns the place of a holder. Nothing happens when it was given to another. */
  give(holder: Holder): void {
    const { account } = holder.client;
    const origin = originOf(holder.client);
    if (origin !== undefined) {
      const held = this.#ofOrigins.get(origin);
      if (held === undefined || !held.delete(holder)) return;
      if (held.size === 0) this.#ofOrigins.delete(origin);
    }
    this.#taken--;
    if (account === undefined) return;
    const count = this.#ofAccounts.get(account)! - 1; // counted when the place was taken
    if (count > 0) this.#ofAccounts.set(account, count);
    else this.#ofAccounts.delete(account);
  }

  /** Whose place a newcomer gets. */
  #victimOf(newcomer: Client): Holder | undefined {
    const origin = originOf(newcomer);
    const own = origin === undefined ? undefined : this.#ofOrigins.get(origin);
    let most: Set<Holder> | undefined;
    for (const held of this.#ofOrigins.values()) if (most === undefined || held.size > most.size) most = held;
    if (most === undefined) return undefined;
    if (origin === undefined || (own?.size ?? 0) + 1 < most.size) return oldestOfGreediest(most).holder;
    // Nobody else has more: the accounts behind one address share what it has.
    if (own === undefined) return undefined;
    const { holder, count } = oldestOfGreediest(own);
    return [...own].filter(({ client }) => client.account === newcomer.account).length + 1 < count ? holder : undefined;
  }
}

function originOf({ origin, account }: Client): string | undefined {
  return origin ?? account;
}

/** Of these holders, the oldest of the account that has most of them. */
function oldestOfGreediest(held: ReadonlySet<Holder>): { readonly holder: Holder; readonly count: number } {
  const ofAccounts = new Map<string | undefined, { readonly holder: Holder; count: number }>();
  let greediest: { readonly holder: Holder; count: number } | undefined;
  for (const holder of held) {
    const found = ofAccounts.get(holder.client.account) ?? { holder, count: 0 };
    found.count++;
    ofAccounts.set(holder.client.account, found);
    if (greediest === undefined || found.count > greediest.count) greediest = found;
  }
  return greediest!; // somebody holds one
}
