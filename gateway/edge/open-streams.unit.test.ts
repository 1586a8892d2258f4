import assert from "node:assert/strict";
import { once } from "node:events";
import { IncomingMessage, ServerResponse } from "node:http";
import { Socket } from "node:net";
import { describe, it } from "node:test";
import { OpenStreams } from "./open-streams.ts";
import { OpenWaits } from "./open-waits.ts";

const client = { account: "usr_ann", origin: "home" };

/** The response to a client that has disconnected while its request was admitted. */
async function disconnected(): Promise<ServerResponse> {
  const response = new ServerResponse(new IncomingMessage(new Socket()));
  const closed = once(response, "close");
  response.destroy();
  await closed;
  return response;
}

describe("gateway: what lasts, for a client that disconnected before it began", () => {
  it("S16: a stream ends at once, instead of keeping its place until its time is over", async () => {
    const streams = new OpenStreams(1);
    const stream = streams.open(await disconnected(), client);
    assert.equal(stream.signal.aborted, true);
    streams.close(stream);
    assert.equal(streams.open(new ServerResponse(new IncomingMessage(new Socket())), client).signal.aborted, false);
  });

  it("S16: a wait ends at once", async () => {
    assert.equal(new OpenWaits(1).open(await disconnected(), client)?.signal.aborted, true);
  });
});
