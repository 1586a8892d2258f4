/** A broker carries a log in parts, and each keeps the order of its streams. The row of one part of a subscription is "orders.claims#3". */
export function partName(subscription: string, part: number): string {
  return `${subscription}#${part}`;
}

/** The subscription that a row belongs to. */
export function baseName(name: string): string {
  const at = name.indexOf("#");
  return at < 0 ? name : name.slice(0, at);
}

/** Which part a row is of; undefined for the row of the subscription itself. */
export function partOf(name: string): number | undefined {
  const at = name.indexOf("#");
  return at < 0 ? undefined : Number(name.slice(at + 1));
}

/** The part in which a stream travels, of so many: as Kafka's own clients choose it by the key, so that theirs and ours agree. */
export function partOfStream(stream: string, parts: number): number {
  return (murmur2(Buffer.from(stream)) & 0x7fffffff) % parts;
}

const m = 0x5bd1e995;

function murmur2(data: Buffer): number {
  const whole = data.length & ~3;
  let h = 0x9747b28c ^ data.length;
  for (let at = 0; at < whole; at += 4) {
    let k = Math.imul(data.readInt32LE(at), m);
    k = Math.imul(k ^ (k >>> 24), m);
    h = Math.imul(h, m) ^ k;
  }
  const rest = data.length - whole;
  if (rest === 3) h ^= data.readUInt8(whole + 2) << 16;
  if (rest >= 2) h ^= data.readUInt8(whole + 1) << 8;
  if (rest >= 1) h = Math.imul(h ^ data.readUInt8(whole), m);
  h = Math.imul(h ^ (h >>> 13), m);
  return h ^ (h >>> 15);
}
