import { create } from "@bufbuild/protobuf";
import { NotificationKind, SendNotificationSchema } from "@kontor/contracts/gen/kontor/notifications/v1/notifications_pb.js";
import type { Transaction } from "@kontor/platform/database/database.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import type { Writes } from "@kontor/platform/database/writes.ts";
import { callFor } from "@kontor/platform/events/call-for.ts";
import type { RecordedEvent } from "@kontor/platform/events/events.ts";
import type { ServiceContext } from "@kontor/platform/service/service.ts";
import { sendQueue } from "./channels.ts";

export type Kind = Exclude<keyof typeof NotificationKind, "NOTIFICATION_KIND_UNSPECIFIED">;

/** A message that an event calls for. */
export interface Notice {
  readonly event: RecordedEvent;
  readonly kind: Kind;
  readonly account: string;
  readonly subject: string;
  readonly hours?: number;
  /** "9.99 EUR" */
  readonly amount?: string;
}

/** Records messages and has them sent: one statement for however many. An event that was delivered before has no effect. */
export function notify(
  {
    tasks,
    clock,
    ids,
    queue = sendQueue.name,
  }: Pick<ServiceContext, "tasks" | "clock" | "ids"> & {
    /** Whose tasks send them. */
    readonly queue?: string;
  },
  tx: Transaction,
  notices: readonly Notice[],
): Writes | undefined {
  const [first] = notices;
  if (first === undefined) return undefined;
  const recorded = notices.map((notice) => ({ ...notice, id: ids.next("ntf") }));
  const noted = sql`insert into notifications (id, event, account, kind, subject, created_at)
    select id, event, account, kind, subject, ${clock.now()} from unnest(${recorded.map(({ id }) => id)}::text[], ${recorded.map(({ event }) => event.id)}::text[],
      ${recorded.map(({ account }) => account)}::text[], ${recorded.map(({ kind }) => kind)}::text[], ${recorded.map(({ subject }) => subject)}::text[])
      as n (id, event, account, kind, subject)
    on conflict (event) do nothing returning id`;
  const mails = recorded.map(({ id, event, kind, account, subject, hours = 0, amount = "" }) => ({
    queue,
    key: event.id,
    of: id,
    payload: create(SendNotificationSchema, { notification: id, kind: NotificationKind[kind], account, subject, hours, amount }),
    call: callFor(event, "notifications"),
  }));
  tx.afterCommit(() => tasks.wake());
  return {
    parts: [
      sql`noted as (${noted})`,
      sql`tasked as (${tasks.addSql(callFor(first.event, "notifications"), mails, sql`select id from noted`)})`,
    ],
  };
}
