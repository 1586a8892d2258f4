import type { IncomingMessage } from "node:http";
import { isIP } from "node:net";

/**
 * Who is counted as one client when nobody is signed in: an IPv4 address, or the /64 of an IPv6 one, of which a single customer has as many
 * addresses as he likes. Behind `proxies` of ours it is what the outermost of them has seen; what stands before that in `X-Forwarded-For`
 * anybody may have written. With 0 the header is not looked at.
 */
export function clientAddress({ headers, socket }: Pick<IncomingMessage, "headers" | "socket">, proxies: number): string {
  return networkOf(forwardedFor(headers["x-forwarded-for"], proxies) ?? socket.remoteAddress ?? "");
}

/** The address that the outermost proxy has appended; undefined when fewer than all of them were on the way. */
function forwardedFor(header: string | readonly string[] | undefined, proxies: number): string | undefined {
  if (proxies === 0 || header === undefined) return undefined;
  const hops = String(header).split(",");
  const address = hops.at(-proxies)?.trim() ?? "";
  return isIP(address) === 0 ? undefined : address;
}

function networkOf(address: string): string {
  const mapped = mappedForm.exec(address);
  if (mapped !== null) return mapped[1]!;
  if (isIP(address) !== 6) return address;
  const [head = "", tail] = address.split("%", 1)[0]!.toLowerCase().split("::");
  const groups = (text: string | undefined): string[] => (text === undefined || text === "" ? [] : text.split(":"));
  const [before, after] = [groups(head), groups(tail)];
  // An IPv4 address at the end stands for two groups.
  const width = before.length + after.length + (address.includes(".") ? 1 : 0);
  const all = [...before, ...Array.from({ length: tail === undefined ? 0 : 8 - width }, () => "0"), ...after];
  return `${all
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, ""))
    .join(":")}::/64`;
}

const mappedForm = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i;
