import type { IncomingMessage } from "node:http";
import { isIP } from "node:net";
import type { Logger } from "@kontor/platform/telemetry/logger.ts";

type ClientRequest = Pick<IncomingMessage, "headers" | "socket">;

/** The address that counts as one client: see `clientAddress`. */
export type AddressOf = (request: ClientRequest) => string;

/**
 * `clientAddress` for a gateway, which says in the log, once, that the header names nobody: then all who come through the proxy are one client, and
 * share its limits.
 */
export function clientAddresses({ proxies, log }: { readonly proxies: number; readonly log: Logger }): AddressOf {
  let said = false;
  return (request) => {
    const header = request.headers["x-forwarded-for"];
    if (header !== undefined && !said && forwardedFor(header, proxies) === undefined) {
      said = true;
      log.warn({ proxies, addresses: String(header).split(",").length }, unusedHeader(proxies));
    }
    return clientAddress(request, proxies);
  };
}

function unusedHeader(proxies: number): string {
  return proxies === 0
    ? "a request has an X-Forwarded-For, which is ignored: if it came through a proxy of yours, all its clients count as one; set KONTOR_PROXIES to the number of proxies"
    : "an X-Forwarded-For has no address of a client where KONTOR_PROXIES says: all clients of that proxy count as one; KONTOR_PROXIES is the number of proxies, each of which appends an address without a port";
}

/**
 * The address that counts as one client when nobody is signed in: an IPv4 address, or the /64 of an IPv6 one, because one customer has as many
 * addresses in it as he likes. Behind `proxies` of this installation it is the address that the outermost of them has appended to
 * `X-Forwarded-For`; what precedes it may be forged. With 0 proxies the header is ignored.
 */
export function clientAddress({ headers, socket }: ClientRequest, proxies: number): string {
  return networkOf(forwardedFor(headers["x-forwarded-for"], proxies) ?? socket.remoteAddress ?? "");
}

/** The address that the outermost proxy has appended; undefined when the request did not come through all of them. */
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
  // An IPv4 address at the end is two groups.
  const width = before.length + after.length + (address.includes(".") ? 1 : 0);
  const all = [...before, ...Array.from({ length: tail === undefined ? 0 : 8 - width }, () => "0"), ...after];
  return `${all
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, ""))
    .join(":")}::/64`;
}

const mappedForm = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i;
