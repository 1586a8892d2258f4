import { murmur2 } from "@platformatic/kafka";

/** The partition of a stream, of so many: by the hash of the record's key, as Kafka's default partitioner places it, so that all producers agree. */
export function partitionOfStream(stream: string, partitions: number): number {
  // The sign bit is cleared: a hash is a signed number.
  return (murmur2(Buffer.from(stream)) & 0x7fffffff) % partitions;
}
