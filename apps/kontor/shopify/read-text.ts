import { TextDecoder } from "node:util";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";

/** A text file as it is read, chunk by chunk. */
export interface TextFile {
  readonly chunks: AsyncIterable<string>;
  /** How much of it has been read, 0 to 1. */
  progress(): number;
}

/** Opens a file of UTF-8, or of UTF-16 that says so at its beginning; the byte order mark itself is left out. Throws when it cannot be read. */
export async function readText(path: string): Promise<TextFile> {
  const found = await stat(path);
  if (found.isDirectory()) throw new Error("it is a folder");
  const { size } = found;
  const stream = createReadStream(path, { highWaterMark: 65_536 });
  return { chunks: decoded(stream), progress: () => (size === 0 ? 1 : stream.bytesRead / size) };
}

async function* decoded(chunks: AsyncIterable<Buffer>): AsyncGenerator<string> {
  let decoder: TextDecoder | undefined;
  for await (const chunk of chunks) {
    decoder ??= new TextDecoder(
      chunk[0] === 0xff && chunk[1] === 0xfe ? "utf-16le" : chunk[0] === 0xfe && chunk[1] === 0xff ? "utf-16be" : "utf-8",
    );
    const text = decoder.decode(chunk, { stream: true });
    if (text !== "") yield text;
  }
  const rest = decoder?.decode() ?? "";
  if (rest !== "") yield rest;
}
