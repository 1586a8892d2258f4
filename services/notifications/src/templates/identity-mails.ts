import { html } from "@kontor/platform/html/html.ts";
import { inFrame, timeText } from "./layout.ts";
import type { Shop, Words } from "./layout.ts";

export function verificationMail(shop: Shop, facts: { readonly name: string; readonly code: string; readonly expiresAt: Date }): Words {
  const until = `It is good once, until ${timeText(facts.expiresAt)}.`;
  return inFrame(shop, {
    subject: `Your code for ${shop.name}`,
    name: facts.name,
    text: ["This code verifies your e-mail address:", "", `  ${facts.code}`, "", until, "If you did not register, you need do nothing."],
    html: [
      html`<p>This code verifies your e-mail address:</p>
<p style="font-size:28px;letter-spacing:2px;font-weight:600">${facts.code}</p>
<p>${until} If you did not register, you need do nothing.</p>
`,
    ],
  });
}
