import { experimental } from "@grpc/grpc-js";
import type { experimental as Experimental, ServerCredentials } from "@grpc/grpc-js";
import type { TlsFiles } from "./tls-files.ts";
import type { TlsIdentity } from "./tls-identity.ts";
import { identitiesOf } from "./tls-names.ts";

type CaListener = Experimental.CaCertificateUpdateListener;
type IdentityListener = Experimental.IdentityCertificateUpdateListener;

/** The certificate files as gRPC takes them: connections made after a change use the new ones, existing ones stay. */
export function tlsIdentity(files: TlsFiles): TlsIdentity {
  const endings = new Map<CaListener | IdentityListener, () => void>();
  const follow = (listener: CaListener | IdentityListener, update: () => void) => {
    endings.set(listener, files.changed(update));
    // At once, but not before the listener has finished registering.
    queueMicrotask(update);
  };
  const unfollow = (listener: CaListener | IdentityListener) => {
    endings.get(listener)?.();
    endings.delete(listener);
  };
  const provider: Experimental.CertificateProvider = {
    addCaCertificateListener: (listener) => follow(listener, () => listener({ caCertificate: files.current().ca })),
    removeCaCertificateListener: unfollow,
    addIdentityCertificateListener: (listener) =>
      follow(listener, () => listener({ certificate: files.current().cert, privateKey: files.current().key })),
    removeIdentityCertificateListener: unfollow,
  };
  return {
    files,
    serverCredentials: (): ServerCredentials => experimental.createCertificateProviderServerCredentials(provider, provider, true),
    channelCredentials: (service) =>
      experimental.createCertificateProviderChannelCredentials(provider, provider, {
        // A host's name says only where the service is; the certificate must name the service.
        checkServerIdentity: (host, certificate) =>
          identitiesOf(certificate).includes(service) ? undefined : new Error(`the certificate at ${host} is not one of ${service}`),
      }),
    identitiesOf: (certificate) => (certificate === undefined ? undefined : identitiesOf(certificate)),
  };
}
