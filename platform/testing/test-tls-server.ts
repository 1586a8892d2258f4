import { channel } from "node:diagnostics_channel";
import { connect } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex, Transform } from "node:stream";
import { createServer } from "node:tls";
import { createAuthority, issueCertificate } from "../rpc/certificates.ts";
import { createLogger } from "../telemetry/create-logger.ts";
import type { Logger } from "../telemetry/logger.ts";
import { afterTests } from "./postgres.ts";

/** A server with TLS before one without, with a certificate for 127.0.0.1 and localhost. */
export interface TlsServer {
  readonly host: string;
  readonly port: number;
  /** The authority that has signed its certificate. */
  readonly ca: string;
  /** How many bytes clients have sent, decrypted. */
  received(): number;
  /** How often this process has connected to the server behind directly. */
  bypassed(): number;
}

export interface TlsServerOptions {
  /** Where it listens: 127.0.0.1 by default. */
  readonly host?: string;
  /** Creates, for each connection, a transformation of the replies of the server behind. */
  readonly replies?: () => Transform;
}

/** Opens it before the server at "host:port", or at a URL with both. Closed after the test. */
export async function openTlsServer(behind: string, { host = "127.0.0.1", replies }: TlsServerOptions = {}): Promise<TlsServer> {
  const { hostname, port: portBehind } = new URL(behind.includes("://") ? behind : `tcp://${behind}`);
  const now = new Date();
  const authority = await createAuthority({ days: 1, now });
  const { certificate, key } = await issueCertificate(authority, { services: ["server"], days: 1, now });
  const own = new Set<Duplex>();
  let received = 0;
  let bypassed = 0;

  const opened = (message: unknown): void => {
    const { socket } = message as { readonly socket: Socket };
    socket.once("connect", () => {
      if (socket.remotePort === Number(portBehind) && !own.has(socket)) bypassed++;
    });
  };
  const clientSockets = channel("net.client.socket");
  clientSockets.subscribe(opened);

  const server = createServer({ cert: certificate, key }, (near) => {
    const far = connect(Number(portBehind), hostname);
    near.on("data", (chunk: Buffer) => (received += chunk.length));
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      own.add(one);
      one.on("error", () => other.destroy());
      one.on("close", () => {
        own.delete(one);
        other.destroy();
      });
    }
    near.pipe(far);
    (replies === undefined ? far : far.pipe(replies())).pipe(near);
  });
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  afterTests(async () => {
    clientSockets.unsubscribe(opened);
    for (const socket of own) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  const { port } = server.address() as AddressInfo;
  return { host, port, ca: authority.certificate, received: () => received, bypassed: () => bypassed };
}

/** A fault of a server that an engine must not send anything to. */
export interface TlsFault {
  readonly name: string;
  /** What a line of the log says of it. */
  readonly says: RegExp;
  /** Opens such a server, and gives the authority to trust. The environment variable to trust everything is set meanwhile. */
  open(behind: string): Promise<{ readonly server: TlsServer; readonly ca: string | undefined }>;
}

const unknownAuthority = /unable to verify the first certificate/;

export const tlsFaults: readonly TlsFault[] = [
  fault("whose certificate another authority has signed", unknownAuthority, {
    trusted: async () => (await createAuthority({ days: 1, now: new Date() })).certificate,
  }),
  fault("whose certificate none of Node's authorities has signed", unknownAuthority, { trusted: async () => undefined }),
  fault("whose certificate is made out to another host", /does not match certificate's altnames/, { host: "127.0.0.2" }),
];

function fault(
  name: string,
  says: RegExp,
  { host, trusted }: { readonly host?: string; readonly trusted?: () => Promise<string | undefined> },
): TlsFault {
  return {
    name,
    says,
    async open(behind) {
      const variable = "NODE_TLS_REJECT_UNAUTHORIZED";
      process.env[variable] = "0";
      afterTests(() => void delete process.env[variable]);
      const server = await openTlsServer(behind, host === undefined ? {} : { host });
      return { server, ca: trusted === undefined ? server.ca : await trusted() };
    },
  };
}

/** A log as the shop writes it. */
export interface WrittenLog {
  readonly log: Logger;
  readonly lines: readonly string[];
  /** Resolves when a warning or an error matches. */
  says(what: RegExp): Promise<void>;
}

export function writtenLog(): WrittenLog {
  const lines: string[] = [];
  const waiting = new Set<() => void>();
  const write = (line: string): void => {
    lines.push(line);
    for (const look of waiting) look();
  };
  return {
    log: createLogger({ service: "test", level: "warn", format: "json", stream: { write } }),
    lines,
    says: (what) =>
      new Promise((resolve) => {
        const look = (): void => {
          if (lines.some((line) => what.test(line))) resolve();
        };
        waiting.add(look);
        look();
      }),
  };
}
