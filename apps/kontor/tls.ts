import { ConfigError } from "@kontor/platform/config/read-config.ts";
import type { TlsFiles } from "@kontor/platform/rpc/tls-files.ts";
import type { TlsIdentity } from "@kontor/platform/rpc/tls-identity.ts";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";
import type { Configuration } from "./configuration.ts";
import type { Placement } from "./placement.ts";

export interface Tls {
  readonly identity: TlsIdentity;
  readonly files: TlsFiles;
}

/**
 * This process's certificate, where an address needs one; undefined otherwise. Throws a `ConfigError` that names the variables which are missing
 * or wrong.
 */
export async function openTls(
  config: Configuration,
  { remotes, listen }: Pick<Placement, "remotes" | "listen">,
  log: Logger,
): Promise<Tls | undefined> {
  const protocols = [...[...remotes.values()].map(({ protocol }) => protocol), ...(listen === undefined ? [] : [listen.protocol])];
  if (!protocols.some((protocol) => protocol === "grpcs" || protocol === "https")) return undefined;
  const { ca, cert, key } = config.tls;
  if (ca === undefined || cert === undefined || key === undefined)
    throw new ConfigError(
      Object.entries(config.tls)
        .filter(([, path]) => path === undefined)
        .map(([name]) => ({
          variable: `KONTOR_TLS_${name.toUpperCase()}`,
          message: "is missing: grpcs:// and https:// need a certificate of this process; kontor certs creates some for development",
        })),
    );
  const [{ openTlsFiles }, { tlsIdentity }] = await Promise.all([
    import("@kontor/platform/rpc/tls-files.ts"),
    import("@kontor/platform/rpc/grpc-tls.ts"),
  ]);
  const files = await openTlsFiles({ ca, cert, key }, log);
  return { files, identity: tlsIdentity(files) };
}
