import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { IdentityService } from "@kontor/contracts/gen/kontor/identity/v1/identity_pb.js";
import {
  NotificationKind,
  NotificationSchema,
  NotificationsService,
  NotificationStatus,
  SendNotificationSchema,
} from "@kontor/contracts/gen/kontor/notifications/v1/notifications_pb.js";
import { OrdersService } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import { decodeCursor, encodeCursor, invalidCursor, pageSize } from "@kontor/platform/database/cursor.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import { implement } from "@kontor/platform/rpc/rpc.ts";
import type { Route } from "@kontor/platform/rpc/rpc.ts";
import type { ServiceDefinition, ServiceContext } from "@kontor/platform/service/service.ts";
import { queue } from "@kontor/platform/tasks/tasks.ts";
import { notificationSubscriptions } from "./events.ts";
import { sendQueue } from "./notify.ts";
import type { Kind } from "./notify.ts";
import { noteSent, sendNotification } from "./send.ts";

export const notifications: ServiceDefinition = {
  name: "notifications",
  migrations: new URL("../migrations/", import.meta.url),
  create: (context) => {
    const { clients } = context;
    const send = sendNotification({
      ...context,
      identity: clients.of("identity", IdentityService),
      orders: clients.of("orders", OrdersService),
    });
    return {
      routes: [notificationsRoute(context)],
      subscriptions: notificationSubscriptions(context),
      // Tried for nearly two hours, because mail servers are away for longer than a few minutes.
      queues: [
        queue({
          name: sendQueue,
          schema: SendNotificationSchema,
          concurrency: 16,
          attemptsMax: 20,
          run: send,
          settle: noteSent(context),
        }),
      ],
    };
  },
};

/** The year 10,000. */
const timeMsMax = 253_402_300_800_000;

interface Row {
  readonly id: string;
  readonly kind: Kind;
  readonly subject: string;
  readonly created_at: Date;
  readonly sent_at: Date | null;
}

function notificationsRoute({ database }: Pick<ServiceContext, "database">): Route {
  return implement(NotificationsService, {
    listNotifications: async (request, call) => {
      const limit = pageSize(request.limit);
      const before = decodeCursor(request.cursor, ["number", "string"]);
      if (before !== undefined && !(before[0] >= 0 && before[0] < timeMsMax && /^\w{1,60}$/.test(before[1]))) throw invalidCursor();
      const older = before === undefined ? sql`true` : sql`(created_at, id) < (${new Date(before[0])}, ${before[1]})`;
      const rows = await database.rows<Row>(sql`select id, kind, subject, created_at, sent_at from notifications
        where account = ${call.signedIn().id} and ${older} order by created_at desc, id desc limit ${limit + 1}`);
      const last = rows.length > limit ? rows[limit - 1] : undefined;
      return {
        items: rows.slice(0, limit).map(({ id, kind, subject, created_at, sent_at }) =>
          create(NotificationSchema, {
            id,
            kind: NotificationKind[kind],
            status: sent_at === null ? NotificationStatus.QUEUED : NotificationStatus.SENT,
            channel: "email",
            subject,
            createdAt: timestampFromDate(created_at),
            ...(sent_at !== null && { sentAt: timestampFromDate(sent_at) }),
          }),
        ),
        ...(last && { nextCursor: encodeCursor([last.created_at.getTime(), last.id]) }),
      };
    },
  });
}
