import http from "node:http";
import https from "node:https";
import type { Clock } from "@kontor/platform/clock/clock.ts";
import type { Database } from "@kontor/platform/database/database.ts";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";
import { Webhook } from "standardwebhooks";
import { Scheduler } from "./scheduler.ts";
import { sessionJson } from "./session-store.ts";
import { saveDeliveries, waitingWebhooks } from "./webhook-store.ts";
import type { Delivery, OutgoingWebhook } from "./webhook-store.ts";

export interface WebhookSenderOptions {
  readonly database: Database;
  readonly log: Logger;
  readonly clock: Clock;
  readonly random: () => number;
  readonly url: string;
  readonly secret: string;
  /** The provider's own address, which sessions are written with. */
  readonly publicUrl: () => string;
}

const sendingMax = 16;
/** How many wait in memory; the rest wait in the database. */
const queuedMax = 1_000;
const responseMsMax = 10_000;
/** Deliveries are recorded together: nothing depends on it but what a restart sends again. */
const saveMs = 100;
const saveMax = 256;
const saveRetryMs = 1_000;
const stopMs = 5_000;
const attemptsMax = 10;
const retryMs = 1_000;
/** From 1 s on, nine waits make a day. */
const retryFactor = 4;

/**
 * Delivers webhooks: at once those that it is passed, those found in the database at the start, and again those that failed, ever more
 * rarely. At least once: a delivery that is not yet recorded is made again after a crash.
 */
export class WebhookSender {
  readonly #options: WebhookSenderOptions;
  readonly #signer: Webhook;
  readonly #agent: http.Agent;
  readonly #request: typeof http.request;
  readonly #target: http.RequestOptions;
  readonly #loop: Scheduler;
  /** All that this process works on; what is due in the database besides these is loaded. */
  readonly #held = new Set<string>();
  readonly #queue: OutgoingWebhook[] = [];
  #sending = 0;
  readonly #deliveries: Delivery[] = [];
  #saving: Promise<boolean> | undefined;
  #saveTimer: NodeJS.Timeout | undefined;
  #leftInDatabase = false;
  #stopped = false;
  readonly #quiet: (() => void)[] = [];

  constructor(options: WebhookSenderOptions) {
    const { clock, log, secret } = options;
    const url = new URL(options.url);
    const engine = url.protocol === "https:" ? https : http;
    this.#options = options;
    this.#signer = new Webhook(secret);
    this.#agent = new engine.Agent({ keepAlive: true, maxSockets: sendingMax, timeout: responseMsMax });
    this.#request = engine.request;
    this.#target = {
      method: "POST",
      protocol: url.protocol,
      hostname: url.hostname.replace(/^\[|\]$/g, ""),
      port: url.port,
      path: url.pathname + url.search,
      agent: this.#agent,
    };
    this.#loop = new Scheduler({ name: "loading webhooks", clock, log, work: () => this.#load() });
  }

  /** Continues with what an earlier process has not delivered. */
  start(): void {
    this.#loop.wakeAt(this.#options.clock.now());
  }

  /** A webhook with this id is about to be written: it is not to be taken from the database. `offer` or `release` follows. */
  hold(id: string): void {
    this.#held.add(id);
  }

  /** Sends what was written: now, as long as not too many wait. */
  offer(webhook: OutgoingWebhook): void {
    if (this.#stopped || webhook.times === 0) return void this.#held.delete(webhook.id);
    if (this.#queue.length >= queuedMax) {
      this.#leftInDatabase = true;
      return void this.#held.delete(webhook.id);
    }
    this.#queue.push(webhook);
    this.#pump();
  }

  /** Nothing was written; or, with `uncertain`, perhaps it was: then it is looked for in the database. */
  release(id: string, { uncertain }: { readonly uncertain: boolean }): void {
    this.#held.delete(id);
    if (uncertain) this.#loop.wakeAt(new Date(this.#options.clock.now().getTime() + retryMs));
  }

  /** Whether something is under way, or could be without any time passing. */
  get busy(): boolean {
    return this.#sending + this.#queue.length + this.#deliveries.length > 0 || this.#saving !== undefined || this.#loop.busy;
  }

  /** Resolves when what is due is delivered or postponed, and that is recorded. Throws when it cannot be recorded now. */
  async idle(): Promise<void> {
    while (this.busy) {
      await this.#loop.idle();
      if (this.#sending + this.#queue.length > 0) await new Promise<void>((resolve) => this.#quiet.push(resolve));
      if (!(await this.#saveAll())) throw new Error("webhook deliveries could not be recorded");
    }
  }

  /** Starts no more deliveries, gives those under way five seconds, records them as far as it can. Again is fine. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#queue.length = 0;
    await this.#loop.stop();
    if (this.#sending > 0) {
      const late = setTimeout(() => this.#agent.destroy(), stopMs);
      await new Promise<void>((resolve) => this.#quiet.push(resolve));
      clearTimeout(late);
    }
    this.#agent.destroy();
    await this.#saveAll();
  }

  async #load(): Promise<Date | undefined> {
    const room = queuedMax - this.#queue.length;
    if (room <= 0) {
      this.#leftInDatabase = true;
      return undefined;
    }
    const now = this.#options.clock.now();
    const waiting = await waitingWebhooks(this.#options.database, { held: [...this.#held], limit: room });
    for (const { dueAt, ...webhook } of waiting) {
      if (this.#stopped) return undefined;
      if (dueAt > now) return dueAt;
      this.#held.add(webhook.id);
      this.#queue.push(webhook);
    }
    if (waiting.length === room) this.#leftInDatabase = true;
    this.#pump();
    return undefined;
  }

  #pump(): void {
    while (this.#sending < sendingMax && this.#queue.length > 0) void this.#deliver(this.#queue.shift()!);
    if (this.#sending + this.#queue.length === 0) for (const resolve of this.#quiet.splice(0)) resolve();
    if (this.#leftInDatabase && this.#queue.length < queuedMax / 2) {
      this.#leftInDatabase = false;
      this.#loop.wakeAt(this.#options.clock.now());
    }
  }

  /** Never rejects. */
  async #deliver(webhook: OutgoingWebhook): Promise<void> {
    this.#sending++;
    const { id, times, type } = webhook;
    let { attempts } = webhook;
    let problem = "";
    try {
      const body = this.#bodyOf(webhook);
      for (let left = times; left > 0; left--) await this.#post(id, body);
    } catch (error) {
      attempts++;
      problem = error instanceof Error ? error.message.slice(0, 200) : "unknown";
      this.#options.log.info({ webhook: id, type, attempts, problem }, "a webhook was not delivered");
    }
    const now = this.#options.clock.now();
    const delivered = problem === "";
    const again = !delivered && attempts < attemptsMax;
    this.#deliveries.push({
      id,
      attempts,
      problem,
      deliveredAt: delivered ? now : null,
      dueAt: again ? new Date(now.getTime() + this.#delayMs(attempts)) : null,
    });
    if (!delivered && !again)
      this.#options.log.error({ webhook: id, type, attempts }, "a webhook was not delivered, and is not tried again");
    this.#sending--;
    this.#saveSoon();
    if (this.#stopped) {
      if (this.#sending === 0) for (const resolve of this.#quiet.splice(0)) resolve();
    } else this.#pump();
  }

  #delayMs(attempts: number): number {
    return retryMs * retryFactor ** (attempts - 1) * (0.8 + 0.4 * this.#options.random());
  }

  #bodyOf({ type, at, session }: OutgoingWebhook): string {
    return JSON.stringify({ type, timestamp: at.toISOString(), data: sessionJson(session, this.#options.publicUrl()) });
  }

  #post(id: string, body: string): Promise<void> {
    return new Promise((resolve, reject) => {
      // The receiver checks it against its own clock, so this is no business time.
      const sentAt = new Date();
      const headers = {
        "content-type": "application/json",
        "content-length": Buffer.byteLength(body),
        "webhook-id": id,
        "webhook-timestamp": Math.floor(sentAt.getTime() / 1000),
        "webhook-signature": this.#signer.sign(id, sentAt, body),
      };
      const request = this.#request({ ...this.#target, headers }, (response) => {
        response.resume();
        const status = response.statusCode ?? 0;
        if (status >= 200 && status < 300) resolve();
        else reject(new Error(`the response was ${status}`));
      });
      request.on("timeout", () => request.destroy(new Error(`no response in ${responseMsMax} ms`)));
      request.on("error", reject);
      request.end(body);
    });
  }

  #saveSoon(): void {
    if (this.#deliveries.length < saveMax) return this.#saveIn(saveMs);
    void this.#saveAll();
  }

  #saveIn(ms: number): void {
    if (!this.#stopped) this.#saveTimer ??= setTimeout(() => void this.#saveAll(), ms);
  }

  /** Records all deliveries. Gives false when that failed: it is tried again. */
  async #saveAll(): Promise<boolean> {
    while (this.#saving !== undefined) await this.#saving;
    clearTimeout(this.#saveTimer);
    this.#saveTimer = undefined;
    if (this.#deliveries.length === 0) return true;
    this.#saving = this.#save(this.#deliveries.splice(0)).finally(() => (this.#saving = undefined));
    return this.#saving;
  }

  async #save(deliveries: readonly Delivery[]): Promise<boolean> {
    const { database, log } = this.#options;
    try {
      await saveDeliveries(database, deliveries);
    } catch (error) {
      log.warn({ error, deliveries: deliveries.length }, "webhook deliveries could not be recorded");
      this.#deliveries.push(...deliveries);
      this.#saveIn(saveRetryMs);
      return false;
    }
    for (const { id, dueAt } of deliveries) {
      this.#held.delete(id);
      if (dueAt !== null) this.#loop.wakeAt(dueAt);
    }
    return true;
  }
}
