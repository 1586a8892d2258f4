import type { Order } from "@kontor/contracts/gen/kontor/orders/v1/orders_pb.js";
import { html } from "@kontor/platform/html/html.ts";
import type { Html } from "@kontor/platform/html/html.ts";

/** What a mail says, in both forms. */
export interface Words {
  readonly subject: string;
  readonly text: string;
  readonly html: string;
}

export interface Shop {
  readonly name: string;
  readonly url: string;
}

/** Puts a message into the shop's frame: styles are inline, because mail programs drop the others. */
export function inFrame(
  shop: Shop,
  message: { readonly subject: string; readonly name: string; readonly text: readonly string[]; readonly html: readonly Html[] },
): Words {
  const greeting = greetingOf(message.name);
  const page = html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>${message.subject}</title></head>
<body style="margin:0;background:#f4f5f7;font:16px/1.5 system-ui,sans-serif;color:#1c2430">
<div style="max-width:560px;margin:0 auto;padding:32px 24px;background:#ffffff">
<p style="color:#5b6675;margin:0 0 24px">${shop.name}</p>
<p>${greeting}</p>
${message.html}
<p style="color:#5b6675;font-size:13px;margin-top:32px">${shop.name} · <a href="${shop.url}" style="color:#5b6675">${shop.url}</a></p>
</div></body></html>
`;
  return {
    subject: message.subject,
    text: [greeting, "", ...message.text, "", `${shop.name} · ${shop.url}`, ""].join("\n"),
    html: page.html,
  };
}

export function button(url: string, label: string): Html {
  return html`<p><a href="${url}" style="display:inline-block;background:#0b5fff;color:#ffffff;padding:10px 20px;border-radius:8px;text-decoration:none">${label}</a></p>
`;
}

/** The lines of an order with their totals, as text and as a table. */
export function linesOf(order: Order): { readonly text: readonly string[]; readonly html: Html } {
  const total = `${order.total!.amount} ${order.total!.currency}`;
  const rows = order.lines.map(
    (
      line,
    ) => html`<tr><td style="padding:4px 12px 4px 0">${line.quantity} ×</td><td style="padding:4px 0">${line.title}</td><td style="padding:4px 0;text-align:right">${line.total!.amount} ${line.total!.currency}</td></tr>
`,
  );
  return {
    text: [
      ...order.lines.map((line) => `  ${line.quantity} × ${oneLine(line.title)}   ${line.total!.amount} ${line.total!.currency}`),
      `  Total   ${total}`,
    ],
    html: html`<table style="width:100%;border-collapse:collapse;margin:16px 0">
${rows}<tr><td></td><td style="padding:8px 0;border-top:1px solid #d8dce2"><strong>Total</strong></td><td style="padding:8px 0;border-top:1px solid #d8dce2;text-align:right"><strong>${total}</strong></td></tr>
</table>
`,
  };
}

/** A text of somebody else on one line. */
export function oneLine(text: string): string {
  return text.replace(/[\s\p{Cc}]+/gu, " ").trim();
}

/** A scheme, `www.`, or a domain's dot between a letter or digit and two letters, as mail programs look for what to make a link of. */
const webAddress = /:\/\/|\bwww\.|[\p{L}\p{N}][.\u3002](?:xn--|\p{L}{2})/iu;

/**
 * How a mail begins. A name that holds a web address is left out: whoever registers with somebody else's e-mail address would have us send that person
 * a link. NFKC, because mail programs read wide letters and dots as plain ones; without format characters, because people do not see them.
 */
function greetingOf(name: string): string {
  const shown = oneLine(name);
  return shown === "" || webAddress.test(shown.normalize("NFKC").replace(/\p{Cf}/gu, "")) ? "Hello," : `Hello ${shown},`;
}

/** A time as people read it, in UTC. */
export function timeText(at: Date): string {
  return `${at.toISOString().slice(0, 10)} ${at.toISOString().slice(11, 16)} UTC`;
}
