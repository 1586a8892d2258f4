import assert from "node:assert/strict";
import { it } from "node:test";
import { readConfiguration } from "./configuration.ts";
import { addressesOf } from "./installation.ts";

it("the addresses of this machine's servers, on whichever address they listen", () => {
  const at = (host: string) => {
    const { api, mailbox, provider } = addressesOf(readConfiguration({ KONTOR_HOST: host }));
    return [api, mailbox, provider].map((url) => new URL(url).hostname);
  };
  assert.deepEqual(at("::1"), ["[::1]", "[::1]", "[::1]"]);
  assert.deepEqual(at("192.0.2.1"), ["192.0.2.1", "192.0.2.1", "192.0.2.1"]);
  for (const host of ["0.0.0.0", "::", "127.0.0.1"]) assert.deepEqual(at(host), ["localhost", "localhost", "localhost"]);
});
