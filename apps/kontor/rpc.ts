import { tokenCallers } from "@kontor/platform/rpc/callers.ts";
import type { Callers } from "@kontor/platform/rpc/callers.ts";
import { createInProcessRpc } from "@kontor/platform/rpc/in-process.ts";
import type { InProcessRpc } from "@kontor/platform/rpc/in-process.ts";
import { openRemotes } from "@kontor/platform/rpc/remotes.ts";
import type { TlsIdentity } from "@kontor/platform/rpc/tls-identity.ts";
import type { Remotes } from "@kontor/platform/rpc/transport.ts";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";
import type { Configuration } from "./configuration.ts";
import type { Placement } from "./placement.ts";
import { openTls } from "./tls.ts";

/** Calls within this process and to others. */
export interface AppRpc {
  readonly rpc: InProcessRpc;
  readonly remotes: Remotes;
  /** Who calls, where no certificate says so. */
  readonly tokens: Callers;
  readonly tls: TlsIdentity | undefined;
  /** Ends the calls, then the connections to other processes. */
  stop(): Promise<void>;
}

export interface RpcOptions {
  readonly config: Configuration;
  readonly placement: Placement;
  readonly masterKey: Uint8Array;
  /** Freezes messages, so that a service that changes one is found. For tests. */
  readonly freeze: boolean;
  readonly log: Logger;
}

/** Opens the connections that the placement needs. Throws a `ConfigError` when an address needs a certificate that is not configured. */
export async function openRpc({ config, placement, masterKey, freeze, log }: RpcOptions): Promise<AppRpc> {
  const tokens = tokenCallers(masterKey);
  const tls = await openTls(config, placement, log.child({ service: "tls" }));
  const about = log.child({ service: "rpc" });
  const remotes = await openRemotes({
    services: placement.remotes,
    callers: tokens,
    log: about,
    ...(tls && { tls: tls.identity }),
  });
  const rpc = createInProcessRpc({ log: about, freeze, remotes });
  return {
    rpc,
    remotes,
    tokens,
    tls: tls?.identity,
    stop: async () => {
      await rpc.stop();
      remotes.close();
      tls?.files.stop();
    },
  };
}
