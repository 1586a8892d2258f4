import { randomUUID } from "node:crypto";
import { performance } from "node:perf_hooks";
import type { Database } from "../../database/database.ts";
import type { Logger } from "../../telemetry/logger.ts";
import { fairShare, noteMember, removeMember } from "./member-store.ts";
import type { Member } from "./member-store.ts";
import { baseName, partOfStream } from "./partition-name.ts";
import type { SubscriptionLoop } from "./subscription-loop.ts";
import { freeLeases, leaseChannel, releaseLeases, renewLeases, takeLeases } from "./subscription-store.ts";
import type { Lease } from "./subscription-store.ts";
import { Waker } from "../waker.ts";

const keepMs = 1_000;
/** What is free for so long although others should have taken it is taken by whoever sees it, and kept for a while. */
const orphanMs = 900;
const generousMs = 30_000;

export interface LeaseManagerNeeds {
  readonly service: string;
  readonly database: Database;
  readonly log: Logger;
  readonly leaseMs: number;
  /** The subscriptions that run here, or will. */
  readonly subscriptions: readonly string[];
  /** Whether the processes of a service divide the parts of its subscriptions among themselves. Otherwise who comes first has all. */
  readonly share: boolean;
}

/** Takes, renews and gives back the leases of the loops of one service in this process. */
export class LeaseManager {
  readonly #needs: LeaseManagerNeeds;
  readonly #owner: string;
  readonly #waker = new Waker();
  readonly #loops: SubscriptionLoop[] = [];
  readonly #givingBack = new Set<Promise<void>>();
  #members: readonly Member[] = [];
  #notedMs = Number.NEGATIVE_INFINITY;
  /** Since when leases that are for others have been seen free. */
  #seenFree: ReadonlyMap<string, number> = new Map();
  #generousUntilMs = Number.NEGATIVE_INFINITY;
  #force = false;
  #unlisten: (() => Promise<void>) | undefined;
  #running: Promise<void> | undefined;
  #keeping: Promise<void> = Promise.resolve();

  constructor(needs: LeaseManagerNeeds) {
    this.#needs = needs;
    this.#owner = `${needs.service}-${randomUUID()}`;
  }

  async start(): Promise<void> {
    const { database, share } = this.#needs;
    this.#unlisten = await database.listen(leaseChannel, () => this.hurry());
    if (share) {
      await this.#noteMember();
      await database.notify(leaseChannel);
    }
    this.#running = this.#run();
  }

  /** Takes care of these too; their leases are asked for at once. */
  async add(loops: readonly SubscriptionLoop[]): Promise<void> {
    this.#loops.push(...loops);
    await this.#keep();
  }

  /** Has all leases looked at soon. */
  hurry(): void {
    this.#force = true;
    this.#waker.raise();
  }

  /** Gives all leases back. The loops must have been stopped. */
  async stop(): Promise<void> {
    const { database, service, log, share } = this.#needs;
    this.#waker.close();
    await this.#running;
    await Promise.all(this.#givingBack);
    await this.#unlisten?.();
    const leases = this.#loops.flatMap((loop) => loop.standing ?? []);
    if (leases.length === 0 && !share) return;
    try {
      if (leases.length > 0) await releaseLeases(database, leases);
      if (share) await removeMember(database, this.#owner);
      await database.notify(leaseChannel);
    } catch (error) {
      log.warn({ error, service }, "leases could not be given back, they run out by themselves");
    }
  }

  async #run(): Promise<void> {
    const { log, service } = this.#needs;
    while (!this.#waker.closed) {
      try {
        await this.#keep();
      } catch (error) {
        log.warn({ error, service }, "the leases of subscriptions could not be kept, it is tried again");
      }
      await this.#waker.wait(keepMs);
    }
  }

  /** One at a time: two would both take what one may have. */
  #keep(): Promise<void> {
    const after = this.#keeping.then(() => this.#keepOnce());
    this.#keeping = after.catch(() => undefined); // the caller is told
    return after;
  }

  async #keepOnce(): Promise<void> {
    const { share, leaseMs } = this.#needs;
    const staleMs = this.#force ? Number.POSITIVE_INFINITY : performance.now() - leaseMs / 2;
    this.#force = false;
    await this.#renew(staleMs);
    if (share && this.#notedMs <= staleMs) await this.#noteMember();
    if (share) this.#giveSurplus();
    await this.#take();
  }

  async #renew(staleMs: number): Promise<void> {
    const stale = this.#loops.flatMap((loop) => {
      const { lease } = loop;
      return lease !== undefined && loop.leasedMs <= staleMs ? [{ loop, lease }] : [];
    });
    if (stale.length === 0) return;
    const leases = stale.map(({ lease }) => lease);
    const held = new Set(await renewLeases(this.#needs.database, leases, this.#needs.leaseMs));
    for (const { loop, lease } of stale)
      if (held.has(lease.name)) loop.renewed();
      else loop.drop(lease.fence);
  }

  async #noteMember(): Promise<void> {
    const { database, subscriptions, leaseMs } = this.#needs;
    const noted = performance.now();
    this.#members = await noteMember(database, { owner: this.#owner, subscriptions }, leaseMs);
    this.#notedMs = noted;
  }

  /** The loops of each subscription, and how many of them should be at work here. */
  #shares(): { readonly loops: readonly SubscriptionLoop[]; readonly share: number }[] {
    return Array.from(
      Map.groupBy(this.#loops, ({ name }) => baseName(name)),
      ([name, loops]) => {
        if (!this.#needs.share) return { loops, share: loops.length };
        const members = this.#members.filter(({ subscriptions }) => subscriptions.includes(name)).map(({ owner }) => owner);
        // A number that is the same in every process, whatever else runs there.
        return { loops, share: fairShare(loops.length, members, this.#owner, partOfStream(name, 1_000)) };
      },
    );
  }

  #giveSurplus(): void {
    if (performance.now() < this.#generousUntilMs) return;
    for (const { loops, share } of this.#shares()) {
      const held = loops.filter((loop) => loop.lease !== undefined && !loop.leaving);
      for (const loop of held.slice(share)) {
        const giving = this.#giveBack(loop).finally(() => this.#givingBack.delete(giving));
        this.#givingBack.add(giving);
      }
    }
  }

  async #giveBack(loop: SubscriptionLoop): Promise<void> {
    const { database, service, log } = this.#needs;
    const lease: Lease | undefined = await loop.leave();
    if (lease === undefined) return;
    try {
      await releaseLeases(database, [lease]);
      await database.notify(leaseChannel);
    } catch (error) {
      log.warn({ error, service, subscription: lease.name }, "a lease could not be handed over, it runs out by itself");
    }
  }

  async #take(): Promise<void> {
    const { database, leaseMs } = this.#needs;
    const ready = this.#loops.filter((loop) => loop.ready);
    if (ready.length === 0) return;
    const chosen = this.#needs.share ? await this.#chooseFree(ready) : ready;
    if (chosen.length === 0) return;
    const names = chosen.map(({ name }) => name);
    for (const lease of await takeLeases(database, this.#owner, names, leaseMs))
      chosen.find(({ name }) => name === lease.name)?.give(lease);
  }

  /** Of what is free as much as is this process's share, and what the others leave lying. */
  async #chooseFree(ready: readonly SubscriptionLoop[]): Promise<SubscriptionLoop[]> {
    const names = ready.map(({ name }) => name);
    const free = new Set(await freeLeases(this.#needs.database, this.#owner, names));
    const now = performance.now();
    const seen = new Map<string, number>();
    const chosen: SubscriptionLoop[] = [];
    for (const { loops, share } of this.#shares()) {
      let missing = share - loops.filter((loop) => loop.lease !== undefined).length;
      for (const loop of loops) {
        if (!loop.ready || !free.has(loop.name)) continue;
        const since = this.#seenFree.get(loop.name) ?? now;
        const orphan = now - since >= orphanMs;
        if (missing-- > 0 || orphan) chosen.push(loop);
        else seen.set(loop.name, since);
        if (missing < 0 && orphan) this.#generousUntilMs = now + generousMs;
      }
    }
    this.#seenFree = seen;
    return chosen;
  }
}
