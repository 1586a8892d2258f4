import { domainToASCII } from "node:url";
import { refuse, type Refusal } from "../errors/refusal.ts";
import type { Mail } from "./mail.ts";

/** A mail ready for SMTP. */
export interface ComposedMail {
  /** Its Message-ID, without the angle brackets. */
  readonly id: string;
  /** The envelope's addresses. */
  readonly from: string;
  readonly to: string;
  /** The message of RFC 5322, lines ending in CRLF, dots not yet doubled. */
  readonly raw: Buffer;
}

/**
 * Writes a mail as text with an HTML alternative, with the Message-ID `<id@kontor>`. Refuses an address or subject that could add a header
 * or a recipient. By hand because it costs 15 µs where nodemailer's composer takes 700.
 */
export function composeMail(mail: Mail, at: Date): ComposedMail {
  if (!/^[\w.-]{1,200}$/.test(mail.id)) throw new Error("a mail's id is made of letters, digits, dots, dashes and underscores");
  const from = parseMailbox(mail.from, "from");
  const to = parseMailbox(mail.to, "to");
  if (hasControls(mail.subject)) throw refused("subject", "The subject holds a line break or another control character.");
  const boundary = `=_${mail.id}`;
  const id = `${mail.id}@kontor`;
  const message =
    `Message-ID: <${id}>\r\nDate: ${at.toUTCString().replace("GMT", "+0000")}\r\n` +
    `From: ${mailboxHeader(from)}\r\nTo: ${mailboxHeader(to)}\r\nSubject: ${subjectHeader(mail.subject)}\r\n` +
    // Prevents automatic replies (RFC 3834).
    `Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary="${boundary}"\r\n\r\n` +
    `--${boundary}\r\n${part("plain", mail.text)}\r\n--${boundary}\r\n${part("html", mail.html)}\r\n--${boundary}--\r\n`;
  return { id, from: from.address, to: to.address, raw: Buffer.from(message) };
}

interface Mailbox {
  readonly name: string;
  readonly address: string;
}

const addressPattern = /^([^\s<>@(),;:\\"[\]]{1,64})@([^\s<>@(),;:\\"[\]]{1,255})$/;

/** `Name <address>` or a bare address; exactly one. */
function parseMailbox(text: string, field: "from" | "to"): Mailbox {
  const [, quoted, bare, angled] = /^(?:"([^"<>]*)" *|([^"<>]*))<([^<>]*)>$/.exec(text) ?? [];
  const [, local, domain] = addressPattern.exec(angled ?? text) ?? [];
  const host = domain === undefined ? "" : domainToASCII(domain);
  if (local === undefined || host === "" || hasControls(text)) throw refused(field, "This is not one e-mail address.");
  return { name: (quoted ?? bare ?? "").trim(), address: `${local}@${host}` };
}

function refused(field: string, message: string): Refusal {
  return refuse({ reason: "MAIL_INVALID", code: "invalid_argument", message, fields: [{ field, reason: "INVALID", message }] });
}

function hasControls(text: string): boolean {
  return /[\u0000-\u001f\u007f\u2028\u2029]/.test(text);
}

function mailboxHeader({ name, address }: Mailbox): string {
  if (name === "") return address;
  const plain = isAscii(name) && name.length <= 60;
  return `${plain ? `"${name.replace(/\\/g, "\\\\")}"` : encodedWords(name)} <${address}>`;
}

function subjectHeader(subject: string): string {
  return isAscii(subject) && subject.length <= 68 && !subject.includes("=?") ? subject : encodedWords(subject);
}

/** Encoded words of RFC 2047, each on a line of its own of at most 76 characters; the first leaves room for the header's name. */
function encodedWords(text: string): string {
  const words: string[] = [];
  let chunk = "";
  let bytes = "Subject: ".length;
  for (const character of text) {
    const size = Buffer.byteLength(character);
    if (bytes + size > 45) {
      words.push(chunk);
      [chunk, bytes] = ["", 0];
    }
    chunk += character;
    bytes += size;
  }
  if (chunk !== "") words.push(chunk);
  return words.map((word) => `=?UTF-8?B?${Buffer.from(word).toString("base64")}?=`).join("\r\n ");
}

/** Servers cut lines of more than 998 characters. */
const lineLengthMax = 990;

/** Unchanged when every server can transport it, in base64 otherwise. */
function part(type: "plain" | "html", content: string): string {
  const header = `Content-Type: text/${type}; charset=utf-8\r\nContent-Transfer-Encoding: `;
  // "--=_" could be taken for a boundary.
  if (isAscii(content) && !content.includes("--=_") && !/\r(?!\n)/.test(content) && !hasLongLine(content))
    return `${header}7bit\r\n\r\n${content.replace(/\r?\n/g, "\r\n")}`;
  const encoded = Buffer.from(content.replace(/\r?\n/g, "\r\n")).toString("base64");
  return `${header}base64\r\n\r\n${encoded.replace(/.{76}(?=.)/g, "$&\r\n")}`;
}

/** By a regular expression, which would begin anew at each character, it would be most of the work for a mail. */
function hasLongLine(text: string): boolean {
  for (let start = 0, end = 0; end >= 0; start = end + 1) {
    end = text.indexOf("\n", start);
    if ((end < 0 ? text.length : end) - start >= lineLengthMax) return true;
  }
  return false;
}

function isAscii(text: string): boolean {
  return !/[^\t\r\n\u0020-\u007e]/.test(text);
}
