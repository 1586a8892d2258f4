import { performance } from "node:perf_hooks";
import { backoffMs } from "../../retry/backoff.ts";
import type { ClientCallStream } from "./client-call-stream.ts";

/** A stream that was opened, and the server that it leads to. */
export interface OpenedStream {
  readonly stream: ClientCallStream;
  readonly server: string;
}

/** Opens a stream to one of the servers. `closed` is called when no new call may be made on it. Throws `NoCallStreams`. */
export type OpenStream = (closed: (stream: ClientCallStream) => void) => Promise<OpenedStream>;

/** The callee does not know call streams: it is of an earlier version. */
export class NoCallStreams extends Error {
  override readonly name = "NoCallStreams";
}

/** Streams are replaced after so long: so servers that were added are found, and none outlives its connection. */
const renewMs = 20_000;
/** An older one is not used, whatever has delayed its replacement. */
const usableMs = 40_000;
/** A callee of an earlier version may have been replaced by then. */
const unknownMs = 30_000;
const backoff = { pauseMsMin: 100, pauseMsMax: 2_000 };

/**
 * The call streams to one address: one to each server behind it, used in turn. The address may be a name of several servers, and how many is not known: streams
 * are opened until they lead to servers that have one already. Nothing waits for them: while there is none, calls are sent singly.
 */
export class CallStreams {
  readonly #open: OpenStream;
  readonly #nowMs: () => number;
  #streams: readonly ClientCallStream[] = [];
  #turn = 0;
  #looking = false;
  #lookAtMs = 0;
  #openedAtMs = 0;
  #failures = 0;
  #closed = false;

  /** `nowMs` is monotonic. */
  constructor(open: OpenStream, nowMs: () => number = () => performance.now()) {
    this.#open = open;
    this.#nowMs = nowMs;
  }

  /** The next stream in turn; undefined when there is none now. */
  next(): ClientCallStream | undefined {
    const nowMs = this.#nowMs();
    if (nowMs >= this.#lookAtMs && !this.#looking && !this.#closed) void this.#look();
    if (nowMs > this.#openedAtMs + usableMs) this.#replace([]);
    return this.#streams.length === 0 ? undefined : this.#streams[this.#turn++ % this.#streams.length];
  }

  close(): void {
    this.#closed = true;
    this.#replace([]);
  }

  async #look(): Promise<void> {
    this.#looking = true;
    const openedAtMs = this.#nowMs();
    const found = new Map<string, ClientCallStream>();
    try {
      for (let again = 0; again < Math.max(found.size, 1);) {
        const { stream, server } = await this.#open((closed) => this.#forget(closed));
        again = found.has(server) ? again + 1 : 0;
        if (again === 0) found.set(server, stream);
        else stream.close();
      }
      this.#failures = 0;
      this.#lookAtMs = this.#nowMs() + renewMs;
    } catch (error) {
      // One server that knows no call streams gets its share of the calls only when all are sent singly.
      if (error instanceof NoCallStreams) {
        for (const stream of found.values()) stream.close();
        found.clear();
        this.#replace([]);
      }
      this.#lookAtMs = this.#nowMs() + (error instanceof NoCallStreams ? unknownMs : backoffMs(backoff, ++this.#failures));
    }
    this.#looking = false;
    const streams = [...found.values()].filter(({ closed }) => !closed);
    if (streams.length > 0) {
      this.#openedAtMs = openedAtMs;
      this.#replace(streams);
    }
    if (streams.length < found.size) this.#lookSoon();
    if (this.#closed) this.#replace([]);
  }

  #replace(streams: readonly ClientCallStream[]): void {
    const before = this.#streams;
    this.#streams = streams;
    for (const stream of before) stream.close();
  }

  /** Its server stops, or has disconnected: others are looked for soon. */
  #forget(stream: ClientCallStream): void {
    if (!this.#streams.includes(stream)) return;
    this.#streams = this.#streams.filter((other) => other !== stream);
    this.#lookSoon();
  }

  #lookSoon(): void {
    this.#lookAtMs = Math.min(this.#lookAtMs, this.#nowMs() + backoff.pauseMsMin);
  }
}
