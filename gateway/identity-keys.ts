import { IdentityService } from "@kontor/contracts/gen/kontor/identity/v1/identity_pb.js";
import { edgeCaller } from "@kontor/platform/rpc/access.ts";
import { rootCall } from "@kontor/platform/rpc/call.ts";
import type { Rpc } from "@kontor/platform/rpc/rpc.ts";
import type { PublicKey } from "./tokens.ts";

const timeoutMs = 3000;

/** Asks the identity service for its public keys, wherever it is. */
export function identityKeys(rpc: Pick<Rpc, "clientsFor">): () => Promise<readonly PublicKey[]> {
  const identity = rpc.clientsFor(edgeCaller).of("identity", IdentityService);
  return async () => (await identity.getJwks({}, rootCall({ caller: edgeCaller, timeoutMs }))).keys;
}
