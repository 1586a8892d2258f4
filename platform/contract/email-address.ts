import { domainToASCII } from "node:url";

declare const comparable: unique symbol;

/** What is equal for all spellings of one address. Only `emailAddress` makes it, so that no store is asked about an address as somebody typed it. */
export type EmailKey = string & { readonly [comparable]: "email" };

export interface EmailAddress {
  /** As it was typed, without blanks around it and with its domain in ASCII: where mails are sent. */
  readonly written: string;
  /** What is stored to compare with, and looked for. */
  readonly key: EmailKey;
}

const ascii = /^[\p{ASCII}]*$/u;
/** Letters, digits, hyphens, and the dots that IDNA knows. Anything else, such as "%", would be read as part of a URL. */
const international = /^[\p{L}\p{M}\p{N}\p{Join_Control}.\u3002\uff0e\uff61-]+$/u;

/**
 * The one form of an address: no blanks around it, letters composed (NFC) and in lower case, an international domain in ASCII (RFC 5891). Never
 * fails: whether the text is an address at all is the format `email` of the contract's rules; a text that is none equals no address.
 */
export function emailAddress(text: string): EmailAddress {
  const typed = text.trim().normalize("NFC");
  const at = typed.lastIndexOf("@") + 1;
  const written = typed.slice(0, at) + asciiDomain(typed.slice(at));
  return { written, key: written.toLowerCase().normalize("NFC") as EmailKey };
}

function asciiDomain(domain: string): string {
  if (ascii.test(domain) || !international.test(domain)) return domain;
  // Empty when it is no domain: then the text stays as it is, which has not the format.
  return domainToASCII(domain) || domain;
}
