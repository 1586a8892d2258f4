import type { Call } from "@kontor/platform/call/call.ts";
import { refusalIn } from "@kontor/platform/errors/refusal.ts";
import { html } from "@kontor/platform/html/html.ts";
import type { Html } from "@kontor/platform/html/html.ts";
import type { ServiceContext } from "@kontor/platform/service/service.ts";
import { confirmReset } from "./reset-password.ts";
import type { ResetNeeds } from "./reset-password.ts";
import { findResetByToken } from "./reset-store.ts";

type Needs = ResetNeeds & Pick<ServiceContext, "config">;

/** As the contract says it of a new password. */
const [lengthMin, lengthMax] = [8, 128];

/** The page that a mailed link opens: a form, or that the link is no longer good. Uses nothing up. */
export const showResetPage =
  ({ database, clock, config }: Needs) =>
  async (token: string): Promise<string> =>
    page(config.shopName, (await findResetByToken(database, token, clock.now())) === undefined ? invalid : form(""));

/** Does what the form asks for, and says so. A password of the wrong length gets the form again; no other fault is hidden. */
export const submitResetPage =
  (needs: Needs) =>
  async (token: string, body: Uint8Array, call: Call): Promise<string> => {
    const password = new URLSearchParams(Buffer.from(body).toString()).get("password") ?? "";
    const { length } = Array.from(password);
    if (length < lengthMin || length > lengthMax || password.includes("\0"))
      return page(needs.config.shopName, form(`A password has ${lengthMin} to ${lengthMax} characters.`));
    try {
      await confirmReset(needs)({ token, password }, call);
    } catch (error) {
      if (refusalIn(error)?.reason !== "RESET_TOKEN_INVALID") throw error;
      return page(needs.config.shopName, invalid);
    }
    return page(needs.config.shopName, changed);
  };

const title = "Choose another password";
const invalid = html`<h1>This link is not good any more</h1><p>A link is good once, for an hour. Ask for another one.</p>`;
const changed = html`<h1>Your password is changed</h1><p>You are signed out everywhere. Sign in with the new password.</p>`;

/** Its address is the page's own. */
function form(problem: string): Html {
  return html`<h1>${title}</h1><form method="post"><p>${problem}</p><p><label>New password<br>
<input name="password" type="password" autocomplete="new-password" required minlength="${lengthMin}" maxlength="${lengthMax}"></label></p>
<p><button>Save</button></p></form>`;
}

/** No scripts, nothing from outside. */
function page(shopName: string, content: Html): string {
  return html`<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${title}</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:28rem;margin:12vh auto;padding:0 1.5rem;color:#1c2430}h1{font-size:1.5rem}
small{color:#5b6675}input,button{font:inherit;padding:.4rem .8rem}</style>
<p><small>${shopName}</small></p>${content}</html>`.html;
}
