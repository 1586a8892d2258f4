import type { IncomingMessage } from "node:http";
import { messageBytesMax } from "./wire-call.ts";

/** All of a body as text. Throws what `tooLarge` gives, and when the connection ends before the body does. */
export function textOf(message: IncomingMessage, tooLarge: () => Error): Promise<string> {
  return new Promise((resolve, reject) => {
    let first: Buffer | undefined;
    let more: Buffer[] | undefined;
    let bytes = 0;
    message.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > messageBytesMax) {
        message.pause();
        reject(tooLarge());
      } else if (first === undefined) first = chunk;
      else (more ??= [first]).push(chunk);
    });
    message.on("end", () => resolve(more === undefined ? (first?.toString() ?? "") : Buffer.concat(more).toString()));
    message.on("error", reject);
    message.on("close", () => {
      if (!message.complete) reject(new Error("the connection ended within a body"));
    });
  });
}

/** The lines of a body as they come. Throws for one that is too long, or when the connection ends before the body does. */
export async function* linesOf(message: IncomingMessage): AsyncGenerator<string> {
  message.setEncoding("utf8");
  let rest = "";
  for await (const chunk of message as AsyncIterable<string>) {
    const text = rest + chunk;
    let from = 0;
    for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", from)) {
      yield text.slice(from, at);
      from = at + 1;
    }
    rest = text.slice(from);
    if (rest.length > messageBytesMax) throw new Error("a line has no end");
  }
}
