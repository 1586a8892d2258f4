import { sql } from "@kontor/platform/database/sql.ts";
import type { ServiceFacts } from "@kontor/platform/service/facts.ts";
import { waitingTaskKeys } from "@kontor/platform/tasks/task-facts.ts";
import { sendQueue } from "./channels.ts";

/** The confirmation of an order, as it was recorded. */
export interface ConfirmationFact {
  readonly id: string;
  readonly order: string;
  /** The mail's own id, from which its Message-ID is made; null until it was sent. */
  readonly mail: string | null;
  readonly sentAt: Date | null;
}

export interface NotificationFacts {
  confirmations(after: string, limit: number): Promise<ConfirmationFact[]>;
  /** Those of these events whose message is still to be sent. */
  toBeSent(events: readonly string[]): Promise<ReadonlySet<string>>;
}

export const notificationFacts: ServiceFacts<NotificationFacts> = {
  service: "notifications",
  from: (notifications) => ({
    confirmations: (after, limit) =>
      notifications.rows(sql`
        select id, subject as "order", task as mail, sent_at as "sentAt" from notifications
        where kind = 'ORDER_CONFIRMATION' and id > ${after} order by id limit ${limit}`),
    toBeSent: (events) => waitingTaskKeys(notifications, sendQueue.name, events),
  }),
};
