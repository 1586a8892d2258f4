import { timestampDate } from "@bufbuild/protobuf/wkt";
import { OrderStatus } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import type { Order } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import { html } from "@kontor/platform/html/html.ts";
import { button, inFrame, linesOf, oneLine, timeText } from "./layout.ts";
import type { Shop, Words } from "./layout.ts";

export interface OrderFacts {
  readonly name: string;
  readonly order: Order;
}

export function confirmationMail(shop: Shop, { name, order }: OrderFacts): Words {
  const lines = linesOf(order);
  return inFrame(shop, {
    subject: `Your order ${order.id} is paid`,
    name,
    text: [`thank you. Your order ${order.id} is paid, and we are getting it ready:`, "", ...lines.text],
    html: [
      html`<p>thank you. Your order <strong>${order.id}</strong> is paid, and we are getting it ready:</p>
`,
      lines.html,
    ],
  });
}

/** Carries the order's id, the amount and the time until which it is reserved. */
export function reminderMail(shop: Shop, { name, order }: OrderFacts): Words {
  const lines = linesOf(order);
  const amount = `${order.total!.amount} ${order.total!.currency}`;
  const until = timeText(timestampDate(order.expiresAt!));
  const { url } = order.payment!;
  return inFrame(shop, {
    subject: `Your order ${order.id} waits for its payment`,
    name,
    text: [
      `your order ${order.id} is not paid yet. We keep it for you until ${until}.`,
      "",
      ...lines.text,
      "",
      `Pay ${amount} here: ${url ?? shop.url}`,
    ],
    html: [
      html`<p>your order <strong>${order.id}</strong> is not paid yet. We keep it for you until ${until}.</p>
`,
      lines.html,
      button(url ?? shop.url, `Pay ${amount}`),
    ],
  });
}

const causes: Readonly<Record<string, string>> = {
  CUSTOMER: "You have cancelled it.",
  ADMIN: "The shop has cancelled it.",
  EXPIRED: "It was not paid in time.",
  OUT_OF_STOCK: "We are sorry: what you ordered is not to be had any more.",
  CHECKOUT: "It could not be placed.",
};

export function cancellationMail(shop: Shop, { name, order }: OrderFacts): Words {
  const lines = linesOf(order);
  const cause = causes[order.history.at(-1)?.cause ?? ""];
  const why = cause === undefined ? "" : `${cause} `;
  const paid = order.history.some(({ status }) => status === OrderStatus.PAID);
  const money = paid ? "What you paid is on its way back to you." : "Nothing was taken.";
  return inFrame(shop, {
    subject: `Your order ${order.id} is cancelled`,
    name,
    text: [`your order ${order.id} is cancelled. ${why}${money}`, "", ...lines.text],
    html: [
      html`<p>your order <strong>${order.id}</strong> is cancelled. ${why}${money}</p>
`,
      lines.html,
    ],
  });
}

export function shippingMail(shop: Shop, { name, order }: OrderFacts): Words {
  const lines = linesOf(order);
  const { carrier = "", tracking = "" } = order.fulfilments.at(-1) ?? {};
  const where = [carrier, tracking]
    .map(oneLine)
    .filter((text) => text !== "")
    .join(", ");
  return inFrame(shop, {
    subject: `Your order ${order.id} is on its way`,
    name,
    text: [`your order ${order.id} has left our warehouse${where === "" ? "" : ` (${where})`}:`, "", ...lines.text],
    html: [
      html`<p>your order <strong>${order.id}</strong> has left our warehouse${where === "" ? "" : ` (${where})`}:</p>
`,
      lines.html,
    ],
  });
}

export function refundMail(shop: Shop, { name, order, amount }: OrderFacts & { readonly amount: string }): Words {
  return inFrame(shop, {
    subject: `${amount} are on their way back to you`,
    name,
    text: [`we have refunded ${amount} of your payment for order ${order.id}.`],
    html: [
      html`<p>we have refunded <strong>${amount}</strong> of your payment for order <strong>${order.id}</strong>.</p>
`,
    ],
  });
}
