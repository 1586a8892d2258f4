import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";
import { clientAddress, clientAddresses } from "./client-address.ts";

function addressOf(remoteAddress: string | undefined, forwarded?: string, proxies = 0): string {
  return clientAddress(requestOf(remoteAddress, forwarded), proxies);
}

function requestOf(remoteAddress: string | undefined, forwarded?: string) {
  const request = { socket: { remoteAddress }, headers: forwarded === undefined ? {} : { "x-forwarded-for": forwarded } };
  return request as Parameters<typeof clientAddress>[0];
}

describe("client addresses", () => {
  const networks: [address: string, network: string][] = [
    ["203.0.113.7", "203.0.113.7"],
    ["::ffff:203.0.113.7", "203.0.113.7"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
    ["2001:DB8:1:2::9", "2001:db8:1:2::/64"],
    ["2001:0db8:0001:0002:ffff::", "2001:db8:1:2::/64"],
    ["2001:db8::1", "2001:db8:0:0::/64"],
    ["::1", "0:0:0:0::/64"],
    ["::", "0:0:0:0::/64"],
    ["1::", "1:0:0:0::/64"],
    ["1:2:3:4:5:6:7::", "1:2:3:4::/64"],
    ["64:ff9b::203.0.113.7", "64:ff9b:0:0::/64"],
    ["1:2:3::203.0.113.7", "1:2:3:0::/64"],
    ["fe80::1:2%eth0", "fe80:0:0:0::/64"],
  ];
  for (const [address, network] of networks) it(`${address}: ${network}`, () => assert.equal(addressOf(address), network));

  it("S18: believes X-Forwarded-For only what our own proxies have written", () => {
    assert.equal(addressOf("10.0.0.1", "198.51.100.9"), "10.0.0.1");
    assert.equal(addressOf("10.0.0.1", "198.51.100.9", 1), "198.51.100.9");
    assert.equal(addressOf("10.0.0.1", "6.6.6.6, 198.51.100.9", 1), "198.51.100.9");
    assert.equal(addressOf("10.0.0.1", "6.6.6.6, 198.51.100.9, 10.0.0.2", 2), "198.51.100.9");
    assert.equal(addressOf("10.0.0.1", "6.6.6.6,2001:db8:1:2::9 ,10.0.0.2", 2), "2001:db8:1:2::/64");
  });

  it("takes the connection's address when the header is not what our proxies write", () => {
    for (const header of [undefined, "", "unknown", "6.6.6.6, not an address", "198.51.100.9:4711"])
      assert.equal(addressOf("10.0.0.1", header, 1), "10.0.0.1");
    assert.equal(addressOf("10.0.0.1", "198.51.100.9", 2), "10.0.0.1");
    assert.equal(addressOf(undefined), "");
  });

  it("S18: the operator learns once that all clients of a proxy count as one", () => {
    const said = (proxies: number, ...headers: (string | undefined)[]): string[] => {
      const warnings: string[] = [];
      const silent = () => undefined;
      const log: Logger = {
        debug: silent,
        info: silent,
        error: silent,
        warn: (_, message) => void warnings.push(message),
        child: () => log,
      };
      const addressOf = clientAddresses({ proxies, log });
      for (const header of headers) addressOf(requestOf("10.0.0.1", header));
      return warnings;
    };
    assert.match(
      said(0, undefined, "198.51.100.9", "198.51.100.10").join(),
      /^a request has .* set KONTOR_PROXIES to the number of proxies$/,
    );
    for (const header of ["198.51.100.9:4711", "unknown", ""])
      assert.match(said(1, "198.51.100.9", header).join(), /^an X-Forwarded-For has no address/);
    assert.equal(said(2, "198.51.100.9").length, 1);
    assert.deepEqual(said(1, undefined, "198.51.100.9", "6.6.6.6, 198.51.100.9"), []);
  });
});
