import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import {
  NotificationKind,
  NotificationSchema,
  NotificationsService,
  NotificationStatus,
} from "@kontor/contracts/gen/kontor/notifications/v1/notifications_pb.js";
import type { Notification } from "@kontor/contracts/gen/kontor/notifications/v1/notifications_pb.js";
import { readPage } from "@kontor/platform/database/cursor.ts";
import { sql } from "@kontor/platform/database/sql.ts";
import { implement } from "@kontor/platform/rpc/rpc.ts";
import type { Route } from "@kontor/platform/rpc/rpc.ts";
import type { ServiceContext } from "@kontor/platform/service/service.ts";
import type { Kind } from "./notify.ts";

interface Row {
  readonly id: string;
  readonly kind: Kind;
  readonly subject: string;
  readonly created_at: Date;
  readonly sent_at: Date | null;
}

export function notificationsRoute({ database }: Pick<ServiceContext, "database">): Route {
  return implement(NotificationsService, {
    listNotifications: async (request, call) => {
      const account = call.signedIn().id;
      const { items, ...next } = await readPage(request, {
        sortedBy: ["timeMs", "id"],
        valuesOf: ({ created_at, id }: Row) => [created_at.getTime(), id],
        read: (before, limit) => {
          const older = before === undefined ? sql`true` : sql`(created_at, id) < (${new Date(before[0])}, ${before[1]})`;
          return database.rows<Row>(sql`select id, kind, subject, created_at, sent_at from notifications
            where account = ${account} and ${older} order by created_at desc, id desc limit ${limit}`);
        },
      });
      return { items: items.map(notificationMessage), ...next };
    },
  });
}

function notificationMessage({ id, kind, subject, created_at, sent_at }: Row): Notification {
  return create(NotificationSchema, {
    id,
    kind: NotificationKind[kind],
    status: sent_at === null ? NotificationStatus.QUEUED : NotificationStatus.SENT,
    channel: "email",
    subject,
    createdAt: timestampFromDate(created_at),
    ...(sent_at !== null && { sentAt: timestampFromDate(sent_at) }),
  });
}
