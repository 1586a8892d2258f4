import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import type { ReadableStream } from "node:stream/web";
import type { Shopper } from "./shopper.ts";

/** A change of an order as a browser's EventSource would receive it. */
export interface ReceivedEvent {
  readonly id: string;
  readonly data: { readonly version: number; readonly status: string; readonly at: string };
}

/** Requests the changes of an order, from the start or after the last event received. */
export function watch({ places, token }: Shopper, order: string, lastEventId?: string): Promise<Response> {
  return fetch(`${places.api}/v1/orders/${order}/events`, {
    headers: { authorization: `Bearer ${token}`, ...(lastEventId !== undefined && { "last-event-id": lastEventId }) },
  });
}

/** The events of an answer, until its end; leaving the loop closes the connection. */
export async function* readEvents(answer: Response): AsyncGenerator<ReceivedEvent, undefined, undefined> {
  const body = Readable.fromWeb(answer.body as ReadableStream);
  try {
    let fields: Record<string, string> = {};
    for await (const line of createInterface({ input: body })) {
      if (line !== "") {
        const [, name = "", value = ""] = /^([a-z]*): ?(.*)$/.exec(line) ?? [];
        if (name !== "") fields[name] = value;
        continue;
      }
      if (fields["event"] === "problem") throw new Error(fields["data"]);
      if (fields["data"] !== undefined && fields["event"] === undefined)
        yield { id: fields["id"] ?? "", data: JSON.parse(fields["data"]) as ReceivedEvent["data"] };
      fields = {};
    }
  } finally {
    body.destroy();
  }
  return undefined;
}
