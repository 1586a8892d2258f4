import type { IncomingMessage } from "node:http";
import { requireNoBody } from "../edge/body.ts";
import type { Responder } from "../edge/responder.ts";
import type { Policy } from "../edge/security-headers.ts";
import type { Route } from "../route-table.ts";

/** The response of one of the gateway's own pages. */
export interface PageResponse {
  readonly status: number;
  readonly type: string;
  readonly body: string | Uint8Array;
  readonly policy: Policy;
  readonly cacheControl: string;
  /** More headers: a flat list of names and values. */
  readonly headers?: readonly string[];
}

/** Makes a page's response. Throws a refusal as services do. */
export type Page = (params: Readonly<Record<string, string>>, request: IncomingMessage) => PageResponse | Promise<PageResponse>;

/** Serves a page at a path. */
export function pageRoute(template: string, page: Page, responder: Responder): Route {
  return {
    verb: "GET",
    template,
    servesHead: true,
    async serve(exchange, params) {
      requireNoBody(exchange.request);
      const { status, policy, type, cacheControl, headers = [], body } = await page(params, exchange.request);
      responder.send(exchange, status, policy, ["Content-Type", type, "Cache-Control", cacheControl, ...headers], body);
    },
  };
}
