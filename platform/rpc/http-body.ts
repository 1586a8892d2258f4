import type { IncomingMessage } from "node:http";
import { messageBytesMax } from "./wire-call.ts";

/** All of a body. Throws what `tooLarge` returns, and when the connection ends before the body does. */
export function bytesOf(message: IncomingMessage, tooLarge: () => Error): Promise<Buffer> {
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
    message.on("end", () => resolve(more === undefined ? (first ?? nothing) : Buffer.concat(more)));
    message.on("error", reject);
    message.on("close", () => {
      if (!message.complete) reject(new Error("the connection ended within a body"));
    });
  });
}

const nothing = Buffer.alloc(0);
