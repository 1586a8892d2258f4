import type { ServiceDefinition } from "@kontor/platform/service/service.ts";
import { createAccessTokens } from "./access-tokens.ts";
import { createPasswords } from "./passwords.ts";
import { identityRoute } from "./rpc.ts";
import { createSecrets } from "./secrets.ts";

export const identity: ServiceDefinition = {
  name: "identity",
  migrations: new URL("../migrations/", import.meta.url),
  create: (context) => {
    const secrets = createSecrets(context.config.masterKey);
    const accessTokens = createAccessTokens({ ...context, secrets });
    return {
      routes: [identityRoute({ ...context, secrets, accessTokens, passwords: createPasswords() })],
      start: () => accessTokens.start(),
    };
  },
};
