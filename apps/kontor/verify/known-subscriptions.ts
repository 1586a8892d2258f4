import { eventTypeOf } from "@kontor/platform/contract/contract.ts";
import { definitions } from "../roles.ts";

/** Which service applies which events of which other. */
export interface KnownSubscription {
  readonly name: string;
  /** The service in whose database it keeps its position. */
  readonly subscriber: string;
  readonly publisher: string;
  readonly types: readonly string[];
}

/** The subscriptions of all services, as their definitions declare them. */
export const knownSubscriptions: readonly KnownSubscription[] = definitions.flatMap(({ name: subscriber, subscriptions = [] }) =>
  subscriptions.map(({ name, publisher, schemas }) => ({ name, subscriber, publisher, types: schemas.map(eventTypeOf) })),
);
