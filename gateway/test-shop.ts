import { connect } from "node:net";
import type { AddressInfo } from "node:net";
import { CompactSign, exportJWK, generateKeyPair, SignJWT } from "jose";

import { CartsService } from "@kontor/contracts/gen/kontor/carts/v1/carts_pb.js";
import { CatalogService } from "@kontor/contracts/gen/kontor/catalog/v1/catalog_pb.js";
import { CheckoutService } from "@kontor/contracts/gen/kontor/checkout/v1/checkout_pb.js";
import { IdentityService } from "@kontor/contracts/gen/kontor/identity/v1/identity_pb.js";
import { PaymentsService } from "@kontor/contracts/gen/kontor/payments/v1/payments_pb.js";
import { ManualClock } from "@kontor/platform/clock/clock.ts";
import { createInProcessRpc } from "@kontor/platform/rpc/in-process.ts";
import type { InProcessRpcOptions } from "@kontor/platform/rpc/in-process.ts";
import type { Rpc } from "@kontor/platform/rpc/rpc.ts";
import type { Call } from "@kontor/platform/call/call.ts";
import { standIn } from "@kontor/platform/testing/stand-in.ts";
import type { StandInHandlers } from "@kontor/platform/testing/stand-in.ts";
import type { LogFields, Logger } from "@kontor/platform/telemetry/logger.ts";
import type { DescService } from "@bufbuild/protobuf";
import { createGateway } from "./gateway.ts";
import type { Gateway, GatewayOptions } from "./gateway.ts";

const keyPair = generateKeyPair("ES256", { extractable: true });

/** Signs with the shop's key: by default a good token of a verified shopper. */
export async function tokenOf(
  shop: { readonly clock: ManualClock },
  claims: Readonly<Record<string, unknown>> = {},
  header: Record<string, unknown> = {},
): Promise<string> {
  const now = Math.floor(shop.clock.now().getTime() / 1000);
  const payload = { iss: "kontor", aud: "kontor", sub: "usr_ann", sid: "ses_1", roles: [], ver: true, iat: now, exp: now + 300, ...claims };
  return new SignJWT(payload).setProtectedHeader({ alg: "ES256", typ: "at+jwt", kid: "key-1", ...header }).sign((await keyPair).privateKey);
}

/** Signs this very text as a token's payload. */
export async function signedText(payload: string): Promise<string> {
  return new CompactSign(Buffer.from(payload))
    .setProtectedHeader({ alg: "ES256", typ: "at+jwt", kid: "key-1" })
    .sign((await keyPair).privateKey);
}

/** The public key of `tokenOf` as identity would publish it. */
export async function publicKey() {
  const { x = "", y = "" } = await exportJWK((await keyPair).publicKey);
  return { kty: "EC", crv: "P-256", x, y, kid: "key-1", alg: "ES256", use: "sig" };
}

export interface TestShopOptions {
  /** Handlers by "Service.method"; the others return an empty message, and every session is live. */
  readonly handlers?: Readonly<Record<string, (request: never, call: Call) => Promise<object>>>;
  /** More services than the real ones. */
  readonly more?: (rpc: Rpc) => void;
  readonly gateway?: Partial<GatewayOptions>;
  readonly rpc?: Partial<InProcessRpcOptions>;
}

/** A gateway in front of services that do only what the test says, under their real contracts. */
export async function openTestShop({ handlers = {}, more, gateway: options = {}, rpc: rpcOptions = {} }: TestShopOptions = {}) {
  const lines: LogFields[] = [];
  const faults: LogFields[] = [];
  const seen: { readonly method: string; readonly request: unknown; readonly call: Call }[] = [];
  const silent = () => undefined;
  const log: Logger = {
    debug: silent,
    info: (fields) => void lines.push(fields),
    warn: silent,
    error: (fields) => void faults.push(fields),
    child: () => log,
  };
  const clock = new ManualClock(new Date("2026-03-01T12:00:00Z"));
  const rpc = createInProcessRpc({ log, freeze: true, ...rpcOptions });
  const all: Record<string, (request: never, call: Call) => Promise<object>> = {
    "IdentityService.getJwks": async () => ({ keys: [await publicKey()] }),
    "IdentityService.checkSessions": async ({ sessions }: { sessions: string[] }) => ({ live: sessions }),
    ...handlers,
  };
  const serve = (name: string, service: DescService): void => {
    const implementation = Object.fromEntries(
      service.methods.map(({ localName }) => {
        const method = `${service.name}.${localName}`;
        return [
          localName,
          async (request: unknown, call: Call) => {
            // The gateway calls it by itself, at any time.
            if (localName !== "checkSessions") seen.push({ method, request, call });
            return (await all[method]?.(request as never, call)) ?? {};
          },
        ];
      }),
    );
    rpc.serve(name, [standIn(service, implementation as unknown as StandInHandlers<DescService>)]);
  };
  serve("identity", IdentityService);
  serve("catalog", CatalogService);
  serve("carts", CartsService);
  serve("checkout", CheckoutService);
  serve("payments", PaymentsService);
  more?.(rpc);
  const gateways: Gateway[] = [];
  /** Another one in front of the same services. */
  const openGateway = async (own: Partial<GatewayOptions>): Promise<{ readonly gateway: Gateway; readonly url: string }> => {
    const made = createGateway({ rpc, log, clock, publicUrl: "http://shop.test", shopName: "Test & Shop", ...options, ...own });
    gateways.push(made);
    return { gateway: made, url: (await made.start(0, "127.0.0.1")).url };
  };
  const { gateway, url } = await openGateway({});
  return {
    url,
    gateway,
    openGateway,
    clock,
    rpc,
    /** Log lines of requests, and of faults. */
    lines,
    faults,
    /** What reached the services. */
    seen,
    get: (path: string, headers: Record<string, string> = {}) => fetch(url + path, { headers, redirect: "manual" }),
    send: (verb: string, path: string, body: unknown, headers: Record<string, string> = {}) =>
      fetch(url + path, {
        method: verb,
        headers: { "Content-Type": "application/json", ...headers },
        ...(body !== undefined && { body: typeof body === "string" ? body : JSON.stringify(body) }),
        redirect: "manual",
      }),
    /** Sends these bytes on a connection of its own and returns all that is received until it closes. */
    raw: (text: string) => rawExchange(url, text),
    async [Symbol.asyncDispose]() {
      await Promise.all(gateways.map((one) => one.stop()));
      await rpc.stop();
    },
  };
}

export type TestShop = Awaited<ReturnType<typeof openTestShop>>;

function rawExchange(url: string, text: string): Promise<string> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    let received = "";
    const socket = connect({ host: hostname, port: Number(port) } satisfies Partial<AddressInfo> & { host: string }, () =>
      socket.write(text),
    );
    socket.setEncoding("latin1");
    socket.on("data", (chunk: string) => (received += chunk));
    socket.on("close", () => resolve(received));
    socket.on("error", (error: NodeJS.ErrnoException) =>
      error.code === "ECONNRESET" || error.code === "EPIPE" ? resolve(received) : reject(error),
    );
  });
}
