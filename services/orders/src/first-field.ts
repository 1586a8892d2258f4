/** The bytes of a protobuf message's field 1, when that is the first there and a message itself: an event's order, without reading it. */
export function firstField(message: Uint8Array): Buffer | undefined {
  if (message[0] !== 0x0a) return undefined;
  let length = 0;
  let at = 1;
  for (let shift = 0; ; shift += 7) {
    const byte = message[at++];
    if (byte === undefined || shift > 28) return undefined;
    length += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80) break;
  }
  if (at + length > message.length) return undefined;
  return Buffer.from(message.buffer, message.byteOffset + at, length);
}
