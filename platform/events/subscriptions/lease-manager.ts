import { randomUUID } from "node:crypto";
import { performance } from "node:perf_hooks";
import { crc32 } from "node:zlib";
import type { Database } from "../../database/database.ts";
import type { Logger } from "../../telemetry/logger.ts";
import { Waker } from "../../changes/waker.ts";
import { fairShare } from "./fair-share.ts";
import { freeLeases, leaseChannel, releaseLeases, renewLeases, takeLeases } from "./lease-store.ts";
import { registerMember, removeMember } from "./member-store.ts";
import type { Member } from "./member-store.ts";
import { baseName } from "./partition-name.ts";
import type { SubscriptionLoop } from "./subscription-loop.ts";

const roundMs = 1_000;
/** A lease beyond the fair share that stays free for so long is taken all the same, and such surplus is held for `keepSurplusMs`. */
const unclaimedMs = 900;
const keepSurplusMs = 30_000;

export interface LeaseManagerNeeds {
  readonly service: string;
  readonly database: Database;
  readonly log: Logger;
  readonly leaseMs: number;
  /** The subscriptions that run in this process, or will. */
  readonly subscriptions: readonly string[];
  /** Whether the processes of a service share the partitions of its subscriptions fairly. Otherwise the first process takes every lease. */
  readonly share: boolean;
}

/** Takes, renews and releases the leases for the subscription loops of one service in this process. */
export class LeaseManager {
  readonly #needs: LeaseManagerNeeds;
  readonly #owner: string;
  readonly #waker = new Waker();
  readonly #loops: SubscriptionLoop[] = [];
  readonly #handovers = new Set<Promise<void>>();
  #members: readonly Member[] = [];
  #registeredMs = Number.NEGATIVE_INFINITY;
  /** Since when leases beyond the fair share have been seen free. */
  #freeSinceMs: ReadonlyMap<string, number> = new Map();
  #keepSurplusUntilMs = Number.NEGATIVE_INFINITY;
  #checkAll = false;
  #unlisten: (() => Promise<void>) | undefined;
  #running: Promise<void> | undefined;
  #lastRound: Promise<void> = Promise.resolve();

  constructor(needs: LeaseManagerNeeds) {
    this.#needs = needs;
    this.#owner = `${needs.service}-${randomUUID()}`;
  }

  async start(): Promise<void> {
    const { database, share } = this.#needs;
    this.#unlisten = await database.listen(leaseChannel, () => this.checkSoon());
    if (share) {
      await this.#registerMember();
      await database.notify(leaseChannel);
    }
    this.#running = this.#run();
  }

  /** Manages the leases of these loops too, and tries to take them at once. */
  async add(loops: readonly SubscriptionLoop[]): Promise<void> {
    this.#loops.push(...loops);
    await this.#round();
  }

  /** Has all leases checked without waiting for the next round. */
  checkSoon(): void {
    this.#checkAll = true;
    this.#waker.raise();
  }

  /** Releases all leases. The loops must have been stopped. */
  async stop(): Promise<void> {
    const { database, service, log, share } = this.#needs;
    this.#waker.close();
    await this.#running;
    await Promise.all(this.#handovers);
    await this.#unlisten?.();
    const leases = this.#loops.flatMap((loop) => loop.leaseWithProgress ?? []);
    if (leases.length === 0 && !share) return;
    try {
      if (leases.length > 0) await releaseLeases(database, leases);
      if (share) await removeMember(database, this.#owner);
      await database.notify(leaseChannel);
    } catch (error) {
      log.warn({ error, service }, "the leases of subscriptions could not be released, they expire after their time-out");
    }
  }

  async #run(): Promise<void> {
    const { log, service } = this.#needs;
    while (!this.#waker.closed) {
      try {
        await this.#round();
      } catch (error) {
        log.warn({ error, service }, "the leases of subscriptions could not be renewed, it is tried again");
      }
      await this.#waker.wait(roundMs);
    }
  }

  /** One at a time: two rounds would each take the whole fair share. */
  #round(): Promise<void> {
    const round = this.#lastRound.then(() => this.#renewAndTake());
    this.#lastRound = round.catch(() => undefined); // the caller gets the error
    return round;
  }

  async #renewAndTake(): Promise<void> {
    const { share, leaseMs } = this.#needs;
    const staleMs = this.#checkAll ? Number.POSITIVE_INFINITY : performance.now() - leaseMs / 2;
    this.#checkAll = false;
    await this.#renew(staleMs);
    if (share && this.#registeredMs <= staleMs) await this.#registerMember();
    if (share) this.#releaseSurplus();
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
      else loop.revoke(lease.fence);
  }

  async #registerMember(): Promise<void> {
    const { database, subscriptions, leaseMs } = this.#needs;
    const registeredMs = performance.now();
    this.#members = await registerMember(database, { owner: this.#owner, subscriptions }, leaseMs);
    this.#registeredMs = registeredMs;
  }

  /** The loops of each subscription, and how many of them should hold a lease in this process. */
  #shares(): { readonly loops: readonly SubscriptionLoop[]; readonly share: number }[] {
    return Array.from(
      Map.groupBy(this.#loops, ({ name }) => baseName(name)),
      ([name, loops]) => {
        if (!this.#needs.share) return { loops, share: loops.length };
        const members = this.#members.filter(({ subscriptions }) => subscriptions.includes(name)).map(({ owner }) => owner);
        // The offset must be the same in every process, whatever other subscriptions run there.
        return { loops, share: fairShare(loops.length, members, this.#owner, crc32(name)) };
      },
    );
  }

  #releaseSurplus(): void {
    if (performance.now() < this.#keepSurplusUntilMs) return;
    for (const { loops, share } of this.#shares()) {
      const held = loops.filter((loop) => loop.lease !== undefined && !loop.releasing);
      for (const loop of held.slice(share)) {
        const handover = this.#handOver(loop).finally(() => this.#handovers.delete(handover));
        this.#handovers.add(handover);
      }
    }
  }

  async #handOver(loop: SubscriptionLoop): Promise<void> {
    const { database, service, log } = this.#needs;
    const lease = await loop.release();
    if (lease === undefined) return;
    try {
      await releaseLeases(database, [lease]);
      await database.notify(leaseChannel);
    } catch (error) {
      log.warn(
        { error, service, subscription: lease.name },
        "a lease could not be released for another process, it expires after its time-out",
      );
    }
  }

  async #take(): Promise<void> {
    const { database, leaseMs } = this.#needs;
    const ready = this.#loops.filter((loop) => loop.readyForLease);
    if (ready.length === 0) return;
    const chosen = this.#needs.share ? await this.#chooseFree(ready) : ready;
    if (chosen.length === 0) return;
    const names = chosen.map(({ name }) => name);
    for (const lease of await takeLeases(database, this.#owner, names, leaseMs))
      chosen.find(({ name }) => name === lease.name)?.assign(lease);
  }

  /** Of the free leases as many as are missing from the fair share, and those that no other process has taken for `unclaimedMs`. */
  async #chooseFree(ready: readonly SubscriptionLoop[]): Promise<SubscriptionLoop[]> {
    const names = ready.map(({ name }) => name);
    const free = new Set(await freeLeases(this.#needs.database, this.#owner, names));
    const now = performance.now();
    const freeSinceMs = new Map<string, number>();
    const chosen: SubscriptionLoop[] = [];
    for (const { loops, share } of this.#shares()) {
      let missing = share - loops.filter((loop) => loop.lease !== undefined).length;
      for (const loop of loops) {
        if (!loop.readyForLease || !free.has(loop.name)) continue;
        const since = this.#freeSinceMs.get(loop.name) ?? now;
        const unclaimed = now - since >= unclaimedMs;
        if (missing-- > 0 || unclaimed) chosen.push(loop);
        else freeSinceMs.set(loop.name, since);
        if (missing < 0 && unclaimed) this.#keepSurplusUntilMs = now + keepSurplusMs;
      }
    }
    this.#freeSinceMs = freeSinceMs;
    return chosen;
  }
}
