import { moneyTo } from "@kontor/contracts/money.ts";
import { html } from "@kontor/platform/html/html.ts";
import type { Html } from "@kontor/platform/html/html.ts";
import { amountOf } from "./session-store.ts";
import type { SessionRow } from "./session-store.ts";
import { testCards } from "./test-cards.ts";

export interface FormOptions {
  readonly merchant: string;
  /** What the number's field holds: a test card's number, never what a visitor has typed. */
  readonly number: string;
  readonly problem: { readonly field: string; readonly message: string } | undefined;
}

// Addresses are relative, so that the pages can be served under any path.
const cardButtons = testCards.map(({ name, number, label }) => {
  const shown = spaced(number);
  return html`<button name="card" value="${name}" data-number="${shown}"><span>${label}</span><span>${shown}</span></button>
`;
});

/** The page of an open session. */
export function formPage(session: SessionRow, { merchant, number, problem }: FormOptions): string {
  const { returnUrl, reference } = session;
  const page = session.page!; // an open session has one
  const amount = amountText(session);
  const input = (name: string, rest: Html): Html =>
    html`<input name="${name}" ${rest}${problem?.field === name ? html` aria-invalid="true" aria-describedby="problem"` : ""}>`;
  return document(
    `Pay ${amount}`,
    html`<p class="soft">${merchant}</p>
<h1>${amount}</h1>
<form method="post" action="${page}">
<label>Card number ${input("number", html`inputmode="numeric" autocomplete="cc-number" required value="${number}"`)}</label>
<div class="row">
<label>Expiry ${input("expiry", html`placeholder="MM/YY" autocomplete="cc-exp"`)}</label>
<label>Security code ${input("cvc", html`inputmode="numeric" autocomplete="cc-csc" maxlength="4"`)}</label>
</div>
${problem === undefined ? "" : html`<p class="problem" id="problem" role="alert">${problem.message}</p>`}
<button class="pay">Pay ${amount}</button>
</form>
<h2>Test cards</h2>
<form class="cards" method="get" action="${page}">
${cardButtons}</form>
<p class="soft">No real money moves here. Only a card's last four digits are stored.</p>
<p><small>${reference} · <a href="${returnUrl}">Back to ${merchant}</a></small></p>
<script src="../assets/pay.js" defer></script>`,
  );
}

/** The page of a session that cannot be paid, or not now. */
export function statePage(session: SessionRow, merchant: string): string {
  const { title, message } = stateOf(session);
  return document(
    title,
    html`<p class="soft">${merchant}</p>
<h1 class="text">${title}</h1>
<p>${message}</p>
<a class="button" href="${session.returnUrl}">Back to ${merchant}</a>
<p class="soft">${amountText(session)} · ${session.reference}</p>`,
  );
}

/** The page for an address that leads nowhere, or a fault of ours. */
export function messagePage(title: string, message: string): string {
  return document(title, html`<h1 class="text">${title}</h1>\n<p>${message}</p>`);
}

function stateOf({ status }: SessionRow): { readonly title: string; readonly message: string } {
  switch (status) {
    case "succeeded":
      return { title: "It is paid", message: "The money was taken. There is nothing more to do here." };
    case "declined":
      return { title: "The payment was declined", message: "Nothing was taken. The shop can start another attempt." };
    case "closed":
      return { title: "This can no longer be paid", message: "Nothing was taken." };
    case "processing":
      return {
        title: "The bank has not responded",
        message: "It is not known yet whether the payment went through. Please do not pay again; the shop will be notified.",
      };
    case "open":
      throw new Error("an open session has a form");
  }
}

function amountText(session: SessionRow): string {
  const { amount, currency } = moneyTo(amountOf(session));
  return `${amount} ${currency}`;
}

function document(title: string, main: Html): string {
  return html`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<link rel="stylesheet" href="../assets/pay.css">
<main>
${main}
</main>
</html>
`.html;
}

/** A card's number as it is printed. */
export function spaced(number: string): string {
  return number.replaceAll(/(.{4})(?=.)/g, "$1 ");
}
