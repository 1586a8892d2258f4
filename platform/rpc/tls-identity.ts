import type { PeerCertificate } from "node:tls";
import type { ChannelCredentials, ServerCredentials } from "@grpc/grpc-js";

import type { TlsFiles } from "./tls-files.ts";

/** This process's certificate and those that it trusts, as they are now: they may change while it runs. */
export interface TlsIdentity {
  /** For servers and clients of HTTPS. */
  readonly files: Pick<TlsFiles, "current" | "changed">;
  /** For servers that let in only who has a certificate of the same authority. */
  serverCredentials(): ServerCredentials;
  /** For clients of one service: whoever answers must be it. */
  channelCredentials(service: string): ChannelCredentials;
  /** The services that a peer's certificate names; undefined without one. */
  identitiesOf(certificate: PeerCertificate | undefined): readonly string[] | undefined;
}
