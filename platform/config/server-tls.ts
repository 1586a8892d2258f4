/** What a connection by TLS demands of the server, as `node:tls` takes it. */
export interface ServerTls {
  readonly rejectUnauthorized: true;
  readonly ca?: string;
}

/**
 * A server whose certificate is signed by one of these authorities (in PEM; those that Node.js trusts without them) and made out to the host
 * that was asked for. It is said each time, so that no setting of the environment can switch it off.
 */
export function serverTls(ca: string | undefined): ServerTls {
  return { rejectUnauthorized: true, ...(ca !== undefined && { ca }) };
}
