/** What the hostile caller does. */
export const hostileKinds = ["reads", "registrations", "sign-ins", "unpaid orders", "payment pages", "streams"] as const;

/** An order to the hostile process. */
export interface Hostile {
  readonly run: "hostile";
  readonly kind: (typeof hostileKinds)[number];
  readonly api: string;
  readonly connections: number;
  readonly seconds: number;
  readonly account: { readonly email: string; readonly password: string };
  readonly products: number;
}

export interface HostileDone {
  readonly requests: number;
  /** How many of them were refused: 4xx and 5xx. */
  readonly refused: number;
}
