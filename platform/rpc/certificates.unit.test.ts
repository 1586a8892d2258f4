import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { connect, createServer } from "node:tls";
import type { TLSSocket } from "node:tls";
import type { AddressInfo } from "node:net";
import { describe, it } from "node:test";
import { createAuthority, isHost, issueCertificate } from "./certificates.ts";
import type { KeyPair } from "./certificates.ts";
import { identitiesOf } from "./tls-names.ts";

/** A certificate's times are whole seconds. */
const now = new Date(Math.floor(Date.now() / 1_000) * 1_000);
const dayMs = 24 * 3_600_000;
const authority = await createAuthority({ days: 10, now });
const orders = await issueCertificate(authority, {
  services: ["orders"],
  hosts: ["shop.example", "10.0.0.7", "fd00::1:0:2", "fe80::", "::ffff:1.2.3.4"],
  days: 5,
  now,
});

/** Connects both with TLS and gives the services that each sees in the other's certificate. */
async function handshake(server: KeyPair, client: KeyPair | undefined, trusted: { readonly byServer: string; readonly byClient: string }) {
  const accepted = Promise.withResolvers<TLSSocket>();
  const listening = createServer({
    cert: server.certificate,
    key: server.key,
    ca: trusted.byServer,
    requestCert: true,
    rejectUnauthorized: true,
  });
  listening.on("secureConnection", (socket) => accepted.resolve(socket));
  listening.on("tlsClientError", (error) => accepted.reject(error));
  await new Promise<void>((resolve) => listening.listen(0, "127.0.0.1", resolve));
  const { port } = listening.address() as AddressInfo;
  const own = client === undefined ? {} : { cert: client.certificate, key: client.key };
  const socket = connect({ host: "127.0.0.1", port, ca: trusted.byClient, ...own });
  const closed = Promise.withResolvers<undefined>();
  const failed = new Promise<never>((_, reject) => void socket.once("error", reject));
  listening.on("close", () => closed.resolve(undefined));
  try {
    await Promise.race([new Promise((resolve) => void socket.once("secureConnect", resolve)), failed]);
    const other = await Promise.race([accepted.promise, failed]);
    return { server: identitiesOf(socket.getPeerCertificate()), client: identitiesOf(other.getPeerCertificate()) };
  } finally {
    accepted.promise.then(
      (other) => other.destroy(),
      () => undefined,
    );
    socket.on("error", () => undefined);
    socket.destroy();
    listening.close();
    await closed.promise;
  }
}

describe("certificates", () => {
  it("name their service, the hosts and this machine, for both ends of a connection", async () => {
    const certificate = new X509Certificate(orders.certificate);
    assert.deepEqual(identitiesOf(certificate), ["orders"]);
    for (const host of ["localhost", "orders", "shop.example"]) assert.equal(certificate.checkHost(host), host);
    for (const ip of ["127.0.0.1", "::1", "10.0.0.7", "fd00::1:0:2", "fe80::", "::ffff:1.2.3.4"]) assert.equal(certificate.checkIP(ip), ip);
    assert.equal(certificate.checkHost("payments"), undefined);
    assert.deepEqual(certificate.keyUsage, ["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"]);
    assert.deepEqual([certificate.ca, certificate.publicKey.asymmetricKeyDetails?.namedCurve], [false, "prime256v1"]);
    const signer = new X509Certificate(authority.certificate);
    assert.ok(signer.ca && certificate.checkIssued(signer) && certificate.verify(signer.publicKey) && signer.verify(signer.publicKey));
    const both = await issueCertificate(authority, { services: ["carts", "orders"], days: 1, now });
    assert.deepEqual(identitiesOf(new X509Certificate(both.certificate)), ["carts", "orders"]);
  });

  it("are valid for the requested time, from a little before now, and no longer than their authority", async () => {
    const lifetime = (pair: KeyPair) => {
      const { validFromDate, validToDate } = new X509Certificate(pair.certificate);
      return [now.getTime() - validFromDate.getTime(), validToDate.getTime() - now.getTime()].map((ms) => Math.round(ms / 1_000));
    };
    assert.deepEqual(lifetime(orders), [300, (5 * dayMs) / 1_000]);
    assert.deepEqual(lifetime(await issueCertificate(authority, { services: ["orders"], days: 20, now })), [300, (10 * dayMs) / 1_000]);
    assert.deepEqual(lifetime(await createAuthority({ days: 10_000, now })), [300, (10_000 * dayMs) / 1_000], "years with four digits");
  });

  it("are each different, whatever their numbers are", async () => {
    const making = Array.from({ length: 30 }, async () => {
      const certificate = new X509Certificate((await issueCertificate(authority, { services: ["orders"], days: 1, now })).certificate);
      assert.ok(certificate.verify(new X509Certificate(authority.certificate).publicKey));
      return certificate.serialNumber;
    });
    assert.equal(new Set(await Promise.all(making)).size, 30);
  });

  it("are refused for names that are not valid in them, and without the authority's own key", async () => {
    for (const service of ["", "Orders", "or ders", "orders/x", "orders,DNS:evil", "ä"])
      await assert.rejects(issueCertificate(authority, { services: [service], days: 1, now }), /cannot be a service's name/);
    for (const host of ["", "a b", "a..b", "-a", "1.2.3.4.", "http://a", "a,b", "fe80::1%eth0", "a".repeat(64)]) {
      assert.equal(isHost(host), false, host);
      await assert.rejects(
        issueCertificate(authority, { services: ["orders"], hosts: [host], days: 1, now }),
        /neither a host's name nor an IP/,
      );
    }
    const other = await createAuthority({ days: 1, now });
    await assert.rejects(
      issueCertificate({ ...authority, key: other.key }, { services: ["orders"], days: 1, now }),
      /not that of its certificate/,
    );
  });

  it("SEC-01: connect two services that trust the same authority", async () => {
    const carts = await issueCertificate(authority, { services: ["carts"], days: 1, now });
    const trusted = { byServer: authority.certificate, byClient: authority.certificate };
    assert.deepEqual(await handshake(orders, carts, trusted), { server: ["orders"], client: ["carts"] });
  });

  it("SEC-01: servers reject callers without one or with one of another authority, and callers reject such servers", async () => {
    const other = await createAuthority({ days: 1, now });
    const foreign = await issueCertificate(other, { services: ["carts"], days: 1, now });
    const trusted = { byServer: authority.certificate, byClient: authority.certificate };
    // The server closes the connection without a message.
    await assert.rejects(handshake(orders, foreign, trusted), /hang up|reset/);
    await assert.rejects(handshake(foreign, orders, trusted), /unable to verify|self.signed|issuer certificate/i);
    const expired = await issueCertificate(authority, { services: ["carts"], days: 1, now: new Date(now.getTime() - 2 * dayMs) });
    await assert.rejects(handshake(orders, expired, trusted), /hang up|reset/);
    await assert.rejects(handshake(orders, undefined, trusted), /hang up|reset|certificate/);
    await assert.rejects(handshake(expired, orders, trusted), /expired/);
  });
});

describe("the services that a certificate names", () => {
  it("are its whole URIs of that kind, and nothing inside of other names", () => {
    const cases: readonly (readonly [names: string | undefined, services: readonly string[]])[] = [
      [undefined, []],
      ["", []],
      ["URI:spiffe://kontor/orders", ["orders"]],
      ["DNS:localhost, URI:spiffe://kontor/orders, URI:spiffe://kontor/carts, IP Address:127.0.0.1", ["orders", "carts"]],
      ['URI:"spiffe://kontor/orders"', ["orders"]],
      ['DNS:"a, URI:spiffe://kontor/orders"', []],
      ['URI:"spiffe://kontor/orders, DNS:b"', []],
      ['URI:"spiffe://kontor/\\u006frders"', ["orders"]],
      ['URI:"a\\", URI:spiffe://kontor/orders, \\"b"', []],
      ['DNS:"a", URI:spiffe://kontor/orders', ["orders"]],
      ['URI:"spiffe://kontor/orders', []],
      ["URI:spiffe://kontor/orders,URI:spiffe://kontor/carts", []],
      ["DNS:spiffe://kontor/orders", []],
      ["uri:spiffe://kontor/orders", []],
      ["xURI:spiffe://kontor/orders", []],
      ["URI:spiffe://kontor/orders/x, URI:spiffe://kontor/, URI:spiffe://kontor/or%64ers, URI:spiffe://kontor/Orders", []],
      ["URI:spiffe://kontor.evil/orders, URI:spiffe://evil/kontor/orders, URI:xspiffe://kontor/orders, URI: spiffe://kontor/orders", []],
      ["URI:spiffe://kontor/orders\n", []],
    ];
    for (const [subjectaltname, services] of cases)
      assert.deepEqual(identitiesOf(subjectaltname === undefined ? {} : { subjectaltname }), services, subjectaltname);
    assert.deepEqual(identitiesOf(undefined), []);
  });
});
