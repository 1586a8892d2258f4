import assert from "node:assert/strict";
import { Writable } from "node:stream";
import { describe, it } from "node:test";
import { turns } from "../test-greeter.ts";
import { frameKind, FrameReader, nothing, pieceBytes } from "./frames.ts";
import { Outbox } from "./outbox.ts";

/** A stream whose writes are recorded, and end when they are told to. */
function openStream({ held = false } = {}) {
  const reader = new FrameReader();
  const writes: (readonly string[])[] = [];
  const names = new Map<number, string>(Object.entries(frameKind).map(([name, kind]) => [kind, name]));
  const waiting: (() => void)[] = [];
  const stream = new Writable({
    objectMode: true,
    highWaterMark: 1,
    write(chunk: Buffer, _, done) {
      writes.push([...reader.read(chunk)].map(({ kind, call, content }) => `${names.get(kind)} ${call} ${content.length}`));
      if (held) waiting.push(done);
      else setImmediate(done);
    },
  });
  return { stream, writes, release: () => waiting.shift()?.() };
}

const reply = (call: number, length: number) => ({ kind: frameKind.reply, call, head: nothing, body: Buffer.alloc(length) });
const all = 20;

describe("what a call stream sends", () => {
  it("is one write for all that is given in a turn of the event loop", async () => {
    const { stream, writes } = openStream();
    const outbox = new Outbox(stream);
    outbox.send(reply(1, 5));
    queueMicrotask(() => outbox.send(reply(2, 6)));
    process.nextTick(() => outbox.send(reply(3, 7)));
    await turns(all);
    assert.deepEqual(writes, [["reply 1 5", "reply 2 6", "reply 3 7"]]);
  });

  it("a long body goes in pieces, between which others go whole", async () => {
    const { stream, writes } = openStream();
    const outbox = new Outbox(stream);
    outbox.send(reply(1, 20 * pieceBytes + 10));
    outbox.send(reply(2, 5));
    await turns(1);
    outbox.send(reply(3, 6));
    await turns(all);
    assert.deepEqual(writes[0], [`part 1 ${pieceBytes}`, "reply 2 5"]);
    while (writes.flat().at(-1) !== "reply 1 10") await turns(1);
    const sent = writes.flat();
    assert.equal(sent.filter((frame) => frame === `part 1 ${pieceBytes}`).length, 20);
    assert.ok(sent.indexOf("reply 3 6") < 10, sent.join());
    assert.equal(sent.length, 23);
  });

  it("waits while the other side does not read, and goes on when it does", async () => {
    const { stream, writes, release } = openStream({ held: true });
    const states: boolean[] = [];
    const outbox = new Outbox(stream, (blocked) => states.push(blocked));
    outbox.send(reply(1, 5));
    await turns(1);
    assert.deepEqual(states, [true]);
    outbox.send(reply(2, 5));
    outbox.send(reply(3, 5));
    await turns(all);
    assert.deepEqual(writes, [["reply 1 5"]]);
    release();
    await turns(all);
    assert.deepEqual(states.slice(0, 2), [true, false]);
    assert.deepEqual(writes, [["reply 1 5"], ["reply 2 5", "reply 3 5"]]);
  });

  it("says what has not been sent, and takes it back", async () => {
    const { stream, writes } = openStream({ held: true });
    const outbox = new Outbox(stream);
    outbox.send(reply(1, 5));
    assert.equal(outbox.holds(1), true);
    await turns(1);
    assert.equal(outbox.holds(1), false);
    outbox.send(reply(2, 2 * pieceBytes));
    assert.equal(outbox.holds(2), true);
    outbox.drop(2);
    assert.equal(outbox.holds(2), false);
    assert.deepEqual(writes, [["reply 1 5"]]);
  });

  it("ends when everything is sent", async () => {
    const { stream, writes } = openStream();
    const outbox = new Outbox(stream);
    outbox.send(reply(1, pieceBytes + 1));
    outbox.end();
    outbox.send(reply(2, 5));
    await turns(all);
    assert.equal(stream.writableFinished, true);
    assert.deepEqual(writes.flat().toSorted(), [`part 1 ${pieceBytes}`, "reply 1 1", "reply 2 5"].toSorted());
  });
});
