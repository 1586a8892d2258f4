import { html } from "@kontor/platform/html/html.ts";
import { button, inFrame, timeText } from "./layout.ts";
import type { Shop, Words } from "./layout.ts";

/** To somebody who registers. */
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

interface ResetFacts {
  readonly name: string;
  readonly token: string;
  readonly expiresAt: Date;
}

/** To the owner of an account with whose address somebody has tried to register. */
export function addressTakenMail(shop: Shop, { name, token, expiresAt }: ResetFacts): Words {
  const said = `Somebody tried to register at ${shop.name} with your e-mail address, which has an account already. Nothing was changed.`;
  const way = "If it was you, sign in with your password, or choose another one here:";
  const until = `The link is good once, until ${timeText(expiresAt)}. If it was not you, you need do nothing.`;
  const url = resetUrl(shop, token);
  return inFrame(shop, {
    subject: `You have an account at ${shop.name}`,
    name,
    text: [said, "", way, "", `  ${url}`, "", until],
    html: [
      html`<p>${said}</p>
<p>${way}</p>
${button(url, "Choose another password")}<p>${until}</p>
`,
    ],
  });
}

/** To somebody who has forgotten the password. */
export function passwordResetMail(shop: Shop, { name, token, expiresAt }: ResetFacts): Words {
  const way = "Choose another password here:";
  const until = `The link is good once, until ${timeText(expiresAt)}. You are then signed out everywhere.`;
  const otherwise = "If you did not ask for it, you need do nothing.";
  const url = resetUrl(shop, token);
  return inFrame(shop, {
    subject: `Your password for ${shop.name}`,
    name,
    text: [way, "", `  ${url}`, "", until, otherwise],
    html: [
      html`<p>${way}</p>
${button(url, "Choose another password")}<p>${until} ${otherwise}</p>
`,
    ],
  });
}

/** At the shop's configured address, whatever a request has claimed. */
function resetUrl(shop: Shop, token: string): string {
  return `${shop.url.replace(/\/$/, "")}/password/reset/${token}`;
}
