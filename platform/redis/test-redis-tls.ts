import { Transform } from "node:stream";
import { openTlsServer } from "../testing/test-tls-server.ts";
import type { TlsServer } from "../testing/test-tls-server.ts";
import { mastersOf } from "./test-redis.ts";

/** A cluster whose nodes are connected to by TLS alone: each names the others by the ports of their servers with TLS. */
export async function openTlsCluster(
  urls: readonly string[],
): Promise<{ readonly urls: readonly string[]; readonly ca: string; bypassed(): number }> {
  const servers = new Map<string, TlsServer>();
  // A port is written at the end of a line, alone or after its host.
  const withTls = (text: string): string =>
    text.replace(/:(\d+)\r\n/g, (found, port: string) => (servers.has(port) ? `:${servers.get(port)!.port}\r\n` : found));
  const replies = (): Transform =>
    new Transform({
      // A reply that names nodes is short and arrives in one piece.
      transform: (chunk: Buffer, _, done) => done(null, Buffer.from(withTls(chunk.toString("latin1")), "latin1")),
    });
  for (const url of [...urls, ...(await mastersOf(urls))])
    if (!servers.has(new URL(url).port)) servers.set(new URL(url).port, await openTlsServer(url, { replies }));
  return {
    urls: urls.map((url) => {
      const { host, port } = servers.get(new URL(url).port)!;
      return Object.assign(new URL(url), { host: `${host}:${port}` }).href.replace(/^redis:/, "rediss:");
    }),
    ca: Array.from(servers.values(), ({ ca }) => ca).join(""),
    bypassed: () => servers.values().reduce((sum, server) => sum + server.bypassed(), 0),
  };
}
