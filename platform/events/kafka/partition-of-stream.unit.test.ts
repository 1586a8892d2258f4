import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { partitionOfStream } from "./partition-of-stream.ts";

describe("the partition of a stream", () => {
  it("MSG-01: is the one that Kafka's own clients choose for the key", () => {
    // The hashes are from the tests of Kafka's Java client.
    const hashes: [string, number][] = [
      ["21", -973932308],
      ["foobar", -790332482],
      ["a-little-bit-long-string", -985981536],
      ["a-little-bit-longer-string", -1486304829],
      ["lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971],
      ["abc", 479470107],
    ];
    for (const [key, hash] of hashes) {
      assert.equal(partitionOfStream(key, 2 ** 31), hash & 0x7fffffff, key);
      assert.equal(partitionOfStream(key, 6), (hash & 0x7fffffff) % 6, key);
    }
  });

  it("MSG-01: never changes, or the events of a stream on an existing topic would be in two partitions", () => {
    const partitions: [string, number, number][] = [
      ["", 3, 9],
      ["a", 4, 4],
      ["ab", 2, 2],
      ["abc", 3, 3],
      ["abcd", 2, 8],
      ["ord_01K3ZQ8M5V", 1, 1],
      ["claim:ord_01K3ZQ8M5V", 1, 7],
      ["TEA-500", 1, 7],
      ["usr_01K3ZQ8M5VYB7N2", 1, 1],
      ["Käse", 4, 10],
      ["茶", 5, 11],
      ["x".repeat(200), 1, 1],
    ];
    for (const [stream, of6, of12] of partitions)
      assert.deepEqual([partitionOfStream(stream, 6), partitionOfStream(stream, 12)], [of6, of12], stream);
  });
});
