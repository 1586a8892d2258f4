import type { Policy } from "../edge/headers.ts";

/** What a page of the gateway's own answers with. */
export interface PageAnswer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
  readonly policy: Policy;
  readonly cacheControl: string;
}

/** Makes a page's answer. Throws a refusal as services do. */
export type Page = (params: Readonly<Record<string, string>>) => PageAnswer | Promise<PageAnswer>;
