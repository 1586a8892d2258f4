import type { Service, ServiceContext } from "@kontor/platform/service/service.ts";
import { createAccessTokens } from "./access-tokens.ts";
import { createPasswords } from "./passwords.ts";
import { identityRoute } from "./rpc.ts";
import { createSecrets } from "./secrets.ts";

/** The service with its routes. */
export function createService(context: ServiceContext): Service {
  const secrets = createSecrets(context.config.masterKey);
  const accessTokens = createAccessTokens({ ...context, secrets });
  return {
    routes: [identityRoute({ ...context, secrets, accessTokens, passwords: createPasswords() })],
    start: () => accessTokens.start(),
  };
}
