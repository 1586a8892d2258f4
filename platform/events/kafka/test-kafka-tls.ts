import { Transform } from "node:stream";
import { openTlsServer } from "../../testing/test-tls-server.ts";
import type { TlsServer } from "../../testing/test-tls-server.ts";

/** A TLS server in front of a broker. It replaces the broker's port in the metadata by its own, so that clients connect with TLS only. */
export async function openTlsBroker(broker: string): Promise<TlsServer> {
  const [host = "", port = ""] = broker.split(":");
  let ownPort = 0;
  const server = await openTlsServer(broker, {
    replies: () =>
      replaced(Buffer.concat([Buffer.from(host), int32(Number(port))]), () => Buffer.concat([Buffer.from(host), int32(ownPort)])),
  });
  ownPort = server.port;
  return server;
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
}

/** Replaces bytes by others of the same length, frame by frame: a frame is its length in four bytes, and as many bytes. */
function replaced(what: Buffer, by: () => Buffer): Transform {
  let rest: Buffer = Buffer.alloc(0);
  return new Transform({
    transform(chunk: Buffer, _, done) {
      rest = Buffer.concat([rest, chunk]);
      for (;;) {
        const end = rest.length < 4 ? Infinity : 4 + rest.readInt32BE();
        if (rest.length < end) break;
        const frame = rest.subarray(0, end);
        for (let at = frame.indexOf(what); at >= 0; at = frame.indexOf(what, at + what.length)) by().copy(frame, at);
        this.push(frame);
        rest = rest.subarray(end);
      }
      done();
    },
  });
}
