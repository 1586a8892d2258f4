import { IdentityService } from "@kontor/contracts/gen/kontor/identity/v1/identity_pb.js";
import { edgeCaller } from "@kontor/platform/rpc/access.ts";
import { rootCall } from "@kontor/platform/call/call.ts";
import type { Rpc } from "@kontor/platform/rpc/rpc.ts";
import type { SessionsOptions } from "./sessions.ts";
import type { PublicKey } from "./tokens.ts";

const keysTimeoutMs = 3000;
/** Requests wait for this call; after it their tokens are accepted unchecked. */
const sessionsTimeoutMs = 1000;

/** Fetches the identity service's public keys. */
export function identityKeys(rpc: Pick<Rpc, "clientsFor">): () => Promise<readonly PublicKey[]> {
  const identity = rpc.clientsFor(edgeCaller).of("identity", IdentityService);
  return async () => (await identity.getJwks({}, rootCall({ caller: edgeCaller, timeoutMs: keysTimeoutMs }))).keys;
}

/** Finds out from the identity service which sessions are live. */
export function identitySessions(rpc: Pick<Rpc, "clientsFor">): SessionsOptions["check"] {
  const identity = rpc.clientsFor(edgeCaller).of("identity", IdentityService);
  return async (sessions) => {
    const call = rootCall({ caller: edgeCaller, timeoutMs: sessionsTimeoutMs });
    return (await identity.checkSessions({ sessions: [...sessions] }, call)).live;
  };
}
