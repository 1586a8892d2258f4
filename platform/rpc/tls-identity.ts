import type { PeerCertificate } from "node:tls";
import type { ChannelCredentials, ServerCredentials } from "@grpc/grpc-js";
import type { TlsFiles } from "./tls-files.ts";

/** This process's certificate and those that it trusts, which may change while it runs. */
export interface TlsIdentity {
  /** For servers and clients of HTTPS. */
  readonly files: Pick<TlsFiles, "current" | "changed">;
  /** For servers that require a certificate of the same authority. */
  serverCredentials(): ServerCredentials;
  /** For clients of one service: the server must have its certificate. */
  channelCredentials(service: string): ChannelCredentials;
  /** The services that a peer's certificate names; undefined without one. */
  identitiesOf(certificate: PeerCertificate | undefined): readonly string[] | undefined;
}
