import { moneyTo } from "@kontor/contracts/money.ts";
import { html } from "@kontor/platform/html/html.ts";
import { amountOf } from "./payment.ts";
import type { PaymentRecord } from "./payment.ts";

/** What a shopper sees who comes back from the provider. No scripts, nothing from outside. */
export function resultPage(payment: PaymentRecord, shopName: string): string {
  const { title, text, again } = resultOf(payment);
  const { amount, currency } = moneyTo(amountOf(payment));
  const link = again === undefined ? "" : html`<p><a class="button" href="/pay/${payment.secret}">${again}</a></p>`;
  return html`<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${title}</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:28rem;margin:12vh auto;padding:0 1.5rem;color:#1c2430}h1{font-size:1.5rem}
small{color:#5b6675}.button{display:inline-block;background:#0b5fff;color:#fff;padding:.6rem 1.2rem;border-radius:.5rem;text-decoration:none}</style>
<p><small>${shopName}</small></p><h1>${title}</h1><p>${text}</p>${link}
<p><small>Order ${payment.order} · ${amount} ${currency}</small></p></html>`.html;
}

function resultOf(payment: PaymentRecord): { title: string; text: string; again?: string } {
  switch (payment.status) {
    case "CAPTURED":
      return { title: "Thank you, it is paid", text: "The confirmation is on its way to you by e-mail." };
    case "REFUNDED":
      return { title: "The payment was refunded", text: "The money is on its way back to you." };
    case "CLOSED":
      return { title: "This order can no longer be paid", text: "Nothing was taken." };
    case "OPEN":
      if (payment.attempts.at(-1)?.status !== "DECLINED")
        return {
          title: "Not paid yet",
          text: "The payment has not come through yet. You can continue it, or look again in a moment.",
          again: "Continue",
        };
      return {
        title: "The payment was declined",
        text: "Nothing was taken. You can try again, with another card if you like.",
        again: "Try again",
      };
  }
}
