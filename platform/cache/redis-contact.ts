import { performance } from "node:perf_hooks";
import { setTimeout as pause } from "node:timers/promises";
import type { Logger } from "../telemetry/logger.ts";
import { openRedisLink } from "./redis-link.ts";
import type { RedisLink, Script } from "./redis-link.ts";
import { away, WaitingCalls } from "./redis-waiting.ts";

export interface ContactOptions {
  readonly urls: readonly string[];
  readonly ca: string | undefined;
  readonly tags: readonly string[];
  readonly log: Logger;
  /** How long a call may take before the server counts as away. */
  readonly callTimeoutMs: number;
  /** Makes everything unusable that was kept before; each time before the server is used (again). */
  readonly renew: (link: RedisLink) => Promise<unknown>;
}

const heartbeatMs = 250;
const retryMs = 100;
const retryMsMax = 2_000;
const startMsMax = 2_000;
/** Contact that lasts shorter is none: the waits between tries go on growing. */
const steadyMs = 5_000;
/** How much later than this process a busy one may notice that Redis is away, on top of a heartbeat. */
const busyMs = 150;

/**
 * This process's contact with Redis: up, in doubt, or away.
 *
 * A call without an answer in time makes it doubtful, and as long as it is, reads end at once. An answer in time to what was asked since then
 * ends the doubt: a busy machine is no outage. Where there is none for ten times a call's time, or at the first error, Redis is away: all calls
 * end at once, until it has answered a renewal in time. Renewals, signs of life and new connections are made in the background, so no caller
 * waits for them.
 *
 * **Why a lost `delete` leaves no old value behind.** A value is used only when it carries the epoch that its key's tag has in Redis, and
 * whoever comes (back) to Redis first changes all epochs, for everybody. So
 * - a process whose `delete` did not get through uses nothing again that was kept before, and nobody else does once it is back. It need not
 *   remember keys, and may die: the process started in its place, as any that starts, changes the epochs as well.
 * - when Redis was away for all of them (killed, frozen, slow, failed over to a replica that had not got the `delete`), each notices it by its
 *   signs of life, also one without traffic. A `delete` waits out the doubt (what was sent to a frozen server still happens when it goes on),
 *   and when it did not get through, until all have noticed or the epochs are changed. So whoever was told that a change is made reads no older
 *   value from anywhere. That takes a second or two, once an outage; later in it a `delete` ends at once.
 * - when only one process has lost Redis, and the others have not, what it could not delete is used by them until it is back or until
 *   another process deletes it because of the change's event, and for the value's life at most.
 * The price is a cold cache after each start and each outage; values in it are copies, and the first to ask fills them again.
 */
export class RedisContact {
  readonly #options: ContactOptions;
  readonly #calls: WaitingCalls;
  readonly #stopping = new AbortController();
  #link: RedisLink | undefined;
  #up = false;
  /** Whether it was said that the server is away. */
  #told = false;
  #awaySinceMs = performance.now();
  #noticed = Promise.withResolvers<void>();
  #noticedTimer: NodeJS.Timeout | undefined;
  #lost = Promise.withResolvers<unknown>();
  #keeping: Promise<void> | undefined;

  constructor(options: ContactOptions) {
    this.#options = options;
    this.#calls = new WaitingCalls({
      callTimeoutMs: options.callTimeoutMs,
      ping: () => this.#link?.ping(),
      lost: (error) => this.#lose(error),
    });
    this.#noticed.resolve();
  }

  get up(): boolean {
    return this.#up;
  }

  /** Resolves when the server is up, or has been found to be away. */
  async start(): Promise<void> {
    if (this.#keeping !== undefined || this.#stopping.signal.aborted) return;
    this.#beAway();
    const first = Promise.withResolvers<void>();
    this.#keeping = this.#keep(first.resolve);
    const waited = new AbortController();
    // A pause that is ended early is no error.
    await Promise.race([first.promise, pause(startMsMax, undefined, { signal: waited.signal }).catch(() => undefined)]);
    waited.abort();
    if (!this.#up) this.#tell(new Error(`no answer in ${startMsMax} ms`));
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#beAway();
    this.#lost.resolve(undefined);
    this.#link?.close();
    await this.#keeping;
  }

  /** Sends a command; gives the reply, or `away`. Does not reject. A patient call waits out a doubt. */
  call(tag: number, args: readonly string[], patient = false): Promise<unknown> {
    const link = this.#usable(patient);
    return link === undefined ? Promise.resolve(away) : this.#answered(link.send(tag, args), link, patient);
  }

  /** The same with a script. */
  run(tag: number, script: Script, keys: readonly string[], args: readonly string[], patient = false): Promise<unknown> {
    const link = this.#usable(patient);
    return link === undefined ? Promise.resolve(away) : this.#answered(link.run(tag, script, keys, args), link, patient);
  }

  /** Resolves when nothing is used any more that was kept before the contact was lost: see above. */
  async settled(): Promise<void> {
    if (!this.#up) await this.#noticed.promise;
  }

  #usable(patient: boolean): RedisLink | undefined {
    return this.#up && (patient || !this.#calls.inDoubt) ? this.#link : undefined;
  }

  async #answered(reply: Promise<unknown>, link: RedisLink, patient: boolean): Promise<unknown> {
    try {
      return await this.#calls.answered(reply, patient);
    } catch (error) {
      this.#lose(error, link);
      return away;
    }
  }

  /** `broken` is the link that is of no use any more; one that is only slow stays, so that what was sent on it still happens. */
  #lose(error: unknown, broken?: RedisLink): void {
    if (broken !== undefined) {
      if (broken !== this.#link) return;
      this.#link = undefined;
      broken.close();
    }
    if (!this.#up) return;
    this.#beAway();
    this.#tell(error);
    this.#lost.resolve(error);
  }

  #beAway(): void {
    this.#up = false;
    this.#calls.end();
    this.#awaySinceMs = performance.now();
    clearTimeout(this.#noticedTimer);
    this.#noticed.resolve();
    this.#noticed = Promise.withResolvers();
    if (this.#stopping.signal.aborted) this.#noticed.resolve();
    else this.#noticedTimer = setTimeout(this.#noticed.resolve, heartbeatMs + busyMs);
  }

  #arrive(): void {
    this.#up = true;
    this.#lost = Promise.withResolvers();
    clearTimeout(this.#noticedTimer);
    this.#noticed.resolve();
    const { log } = this.#options;
    if (this.#told) log.info({ awayMs: Math.round(performance.now() - this.#awaySinceMs) }, "Redis is back");
    this.#told = false;
  }

  #tell(error: unknown): void {
    if (this.#told || this.#stopping.signal.aborted) return;
    this.#told = true;
    const servers = this.#options.urls.map((url) => new URL(url).host).join(", ");
    this.#options.log.warn({ error, servers }, "Redis is away; the house goes on without it, and looks for it");
  }

  async #keep(tried: () => void): Promise<void> {
    const { signal } = this.#stopping;
    for (let failures = 0; !signal.aborted;) {
      try {
        await this.#reach();
        tried();
        const upSinceMs = performance.now();
        await this.#stay();
        failures = performance.now() - upSinceMs > steadyMs ? 0 : failures + 1;
      } catch (error) {
        failures++;
        this.#tell(error);
        tried();
      }
      if (signal.aborted) return;
      const mostMs = Math.min(retryMs * 2 ** failures, retryMsMax);
      // Less than all of it, so that many processes do not come back at the same moment.
      await pause(mostMs * (0.5 + Math.random() / 2), undefined, { signal }).catch(() => undefined);
    }
  }

  /** Resolves when the server is up. Throws when it does not answer, or not in time. */
  async #reach(): Promise<void> {
    const link = (this.#link ??= await this.#open());
    const sentMs = performance.now();
    try {
      await this.#options.renew(link);
    } catch (error) {
      this.#lose(error, link);
      throw error;
    }
    if (link !== this.#link) throw new Error("the connection was lost");
    const tookMs = performance.now() - sentMs;
    if (tookMs > this.#options.callTimeoutMs) throw new Error(`an answer after ${Math.round(tookMs)} ms`);
    this.#arrive();
  }

  async #open(): Promise<RedisLink> {
    const { urls, ca, tags } = this.#options;
    const opened: { link?: RedisLink; lost?: { readonly error: unknown } } = {};
    const lost = (error: unknown): void => {
      if (opened.link === undefined) opened.lost ??= { error };
      else this.#lose(error, opened.link);
    };
    const link = await openRedisLink({ urls, ca, tags, lost, signal: this.#stopping.signal });
    opened.link = link;
    if (opened.lost === undefined && !this.#stopping.signal.aborted) return link;
    link.close();
    throw new Error("the connection was lost at once", { cause: opened.lost?.error });
  }

  /** Resolves when contact is lost. */
  async #stay(): Promise<void> {
    const beat = setInterval(() => this.#calls.ping(), heartbeatMs);
    try {
      await this.#lost.promise;
    } finally {
      clearInterval(beat);
    }
  }
}
