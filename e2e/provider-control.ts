import assert from "node:assert/strict";
import { masterKeyOf } from "@kontor/kontor/master-key.ts";
import type { Faults } from "@kontor/payments/provider/src/faults.ts";
import { deriveSecret } from "@kontor/platform/service/derive-secret.ts";
import type { ShopProcess } from "./shop-process.ts";

/** What the payment provider has on one charge. */
export interface Charge {
  readonly id: string;
  readonly reference: string;
  readonly amount: { readonly currency: string; readonly amount: string };
}

/** The provider's own side of the counter, with the shop's key to it. */
export interface ProviderControl {
  /** What goes wrong from now on; nothing when empty. */
  faults(faults: Faults): Promise<void>;
  /** What is still to go wrong. */
  left(): Promise<Faults>;
  charges(): Promise<readonly Charge[]>;
}

export async function openProviderControl({
  provider,
  folder,
  environment,
}: Pick<ShopProcess, "provider" | "folder" | "environment">): Promise<ProviderControl> {
  const masterKey = await masterKeyOf(environment["KONTOR_MASTER_KEY"], folder);
  const key = deriveSecret(masterKey, "provider api key").toString("base64url");
  const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
  const call = async (method: string, path: string, json?: unknown): Promise<unknown> => {
    const response = await fetch(provider + path, { method, headers, ...(json !== undefined && { body: JSON.stringify(json) }) });
    const body: unknown = await response.json();
    assert.equal(response.status, 200, `${method} ${path}: ${JSON.stringify(body)}`);
    return body;
  };
  return {
    faults: async (faults) => void (await call("POST", "/v1/faults", faults)),
    left: async () => (await call("GET", "/v1/faults")) as Faults,
    charges: async () => {
      const all: Charge[] = [];
      for (let after = ""; ;) {
        const page = (await call("GET", `/v1/charges?limit=1000&after=${after}`)) as { readonly charges: Charge[]; readonly next: string };
        all.push(...page.charges);
        if (page.next === "") return all;
        after = page.next;
      }
    },
  };
}
