/** What a connection by TLS demands of the server, as `node:tls` takes it. */
export interface ServerTls {
  readonly rejectUnauthorized: true;
  readonly ca?: string;
}

/**
 * Demands a certificate that is signed by one of these authorities (in PEM; by default those that Node.js trusts) and issued for the host
 * that was connected to. It is set for each connection, so that no environment variable can switch it off.
 */
export function serverTls(ca: string | undefined): ServerTls {
  return { rejectUnauthorized: true, ...(ca !== undefined && { ca }) };
}
