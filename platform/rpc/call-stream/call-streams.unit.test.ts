import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { turns } from "../test-greeter.ts";
import { CallStreams, NoCallStreams } from "./call-streams.ts";
import type { ClientCallStream } from "./client-call-stream.ts";
import { openStream } from "./test-call-stream.ts";

/** An address with servers behind it, in turn as a balancer has them; one that is "old" knows no call streams, one that is "down" does not respond. */
function setup(...servers: string[]) {
  let nowMs = 0;
  let turn = 0;
  const opened: { readonly server: string; readonly stream: ClientCallStream }[] = [];
  const streams = new CallStreams(
    async (closed) => {
      const server = servers[turn++ % servers.length]!;
      if (server === "old") throw new NoCallStreams();
      if (server === "down") throw new Error("no connection");
      const { stream } = openStream(closed);
      opened.push({ server, stream });
      return { server, stream };
    },
    () => nowMs,
  );
  return {
    streams,
    opened,
    servers,
    wait: (ms: number) => void (nowMs += ms),
    /** The servers of the next calls; "single" for one that goes without a stream. */
    async next(count: number): Promise<readonly string[]> {
      streams.next();
      await turns(10);
      return Array.from({ length: count }, () => {
        const stream = streams.next();
        return stream === undefined ? "single" : opened.find((one) => one.stream === stream)!.server;
      });
    },
    open: () => opened.filter(({ stream }) => !stream.closed).map(({ server }) => server),
  };
}

describe("the call streams to an address", () => {
  it("nothing waits for the first one: calls are sent singly until it is open", async () => {
    const { streams, next } = setup("one");
    assert.equal(streams.next(), undefined);
    assert.deepEqual(await next(2), ["one", "one"]);
  });

  it("lead to each server behind it, and take turns", async () => {
    const { next, open } = setup("one", "two", "three");
    assert.deepEqual((await next(6)).toSorted(), ["one", "one", "three", "three", "two", "two"]);
    assert.deepEqual(open().toSorted(), ["one", "three", "two"]);
  });

  it("are replaced now and then, and find servers that were added", async () => {
    const { next, open, servers, wait, opened } = setup("one");
    await next(1);
    servers.push("two");
    assert.deepEqual(await next(2), ["one", "one"]);
    wait(20_000);
    assert.deepEqual((await next(2)).toSorted(), ["one", "two"]);
    assert.deepEqual(open().toSorted(), ["one", "two"]);
    assert.ok(opened.length > 3, "those before are closed");
  });

  it("calls are sent singly while one of the servers knows no call streams, and on streams when it was replaced", async () => {
    const { next, open, servers, wait } = setup("one", "old");
    assert.deepEqual(await next(2), ["single", "single"]);
    assert.deepEqual(open(), []);
    servers[1] = "two";
    wait(29_000);
    assert.deepEqual(await next(1), ["single"]);
    wait(1_000);
    assert.deepEqual((await next(2)).toSorted(), ["one", "two"]);
  });

  it("one that breaks is not used, and another one is looked for soon", async () => {
    const { next, opened, wait } = setup("one");
    await next(1);
    opened[0]!.stream.close();
    assert.deepEqual(await next(1), ["single"]);
    wait(100);
    assert.deepEqual(await next(1), ["one"]);
  });

  it("those that cannot be replaced stay, and are not used any more when they are old", async () => {
    const { next, servers, wait, open } = setup("one");
    await next(1);
    servers[0] = "down";
    wait(20_000);
    assert.deepEqual(await next(1), ["one"]);
    wait(19_000);
    assert.deepEqual(await next(1), ["one"]);
    wait(1_001);
    assert.deepEqual(await next(1), ["single"]);
    assert.deepEqual(open(), []);
    servers[0] = "one";
    wait(2_000);
    assert.deepEqual(await next(1), ["one"]);
  });

  it("a callee that cannot be reached is tried again after longer and longer pauses", async () => {
    let tries = 0;
    let nowMs = 0;
    const streams = new CallStreams(
      async () => {
        tries++;
        throw new Error("no connection");
      },
      () => nowMs,
    );
    for (; nowMs < 10_000; nowMs += 50) {
      streams.next();
      await turns(1);
    }
    assert.ok(tries >= 8 && tries <= 10, `${tries} tries`);
  });

  it("closed, they take no calls, one that was being opened included", async () => {
    const { streams, next, open } = setup("one");
    streams.next();
    streams.close();
    await turns(10);
    assert.deepEqual(await next(1), ["single"]);
    assert.deepEqual(open(), []);
  });
});
