import { isCurrency } from "@kontor/contracts/money.ts";
import { emailAddress } from "./email-address.ts";

/** A format of the rules: how it is checked, the message when a text does not have it, and the same in JSON Schema's keywords. */
export interface Format {
  readonly test: (text: string) => boolean;
  readonly message: string;
  readonly schema: { readonly $ref: string } | { readonly format?: string; readonly pattern?: string; readonly enum?: readonly string[] };
}

/** Where an OpenAPI document has the currencies. */
export const currencyComponent = "#/components/schemas/Currency";

/** What no text may hold: PostgreSQL does not store it. */
export const cleanPattern = "^[^\\u0000]*$";

// Patterns are written in full, without classes such as \s or \p{L}: these mean other characters in other languages than JavaScript.
const blank = "\\u0001-\\u0020\\u007f-\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000\\ufeff";
const invisible = "\\u00ad\\u061c\\u180e\\u200b-\\u200f\\u202a-\\u202e\\u2060-\\u206f\\ufff9-\\uffff";
const urlText = `\\u0000${blank}${invisible}"<>\\\\^\`{|}`;
const uriPattern = `^[Hh][Tt][Tt][Pp][Ss]?://([^/?#@${urlText}]*@)?([^:/?#@\\[\\]${urlText}]+|\\[[0-9A-Fa-f:.]+\\])(:[0-9]{1,5})?([/?#][^${urlText}]*)?$`;

// ISO 3166-1 alpha-2. `Intl` knows which regions it can name, which is not the same list.
const countries: ReadonlySet<string> = new Set(
  (
    "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ CA CC CD CF CG CH CI " +
    "CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ " +
    "GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS " +
    "LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG " +
    "PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK " +
    "TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW"
  ).split(" "),
);

// Each of these looks at every character once: the parts that repeat are held apart by a character that they cannot contain.
const local = /^[\p{L}\p{N}!#$%&'*+/=?^_`{|}~-]{1,64}(?:\.[\p{L}\p{N}!#$%&'*+/=?^_`{|}~-]{1,64})*$/u;
const host = /^[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63})*\.(?:[a-z]{2,63}|xn--[a-z0-9-]{1,59})$/i;
const languagePattern = "^[A-Za-z]{2,3}(-[A-Za-z]{4})?(-([A-Za-z]{2}|[0-9]{3}))?(-([A-Za-z0-9]{5,8}|[0-9][A-Za-z0-9]{3}))*$";
const uuidPattern = "^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$";
const decimalPattern = "^-?[0-9]+(\\.[0-9]+)?$";

/** In the form in which it is used: the blanks around it are not part of it, and its domain may be an international one. */
function isEmail(text: string): boolean {
  const { written } = emailAddress(text);
  const at = written.lastIndexOf("@");
  if (written.length > 254 || at < 1 || at > 64) return false;
  const domain = written.slice(at + 1);
  return local.test(written.slice(0, at)) && host.test(domain) && !/(^|\.)-|-(\.|$)/.test(domain);
}

/** A format that is a pattern; a longer text than `lengthMax` is not searched. */
function patterned(pattern: string, message: string, lengthMax = 100_000): Format {
  const expression = new RegExp(pattern, "u");
  return { test: (text) => text.length <= lengthMax && expression.test(text), message, schema: { pattern } };
}

/** The formats that rules can name. */
export const formats: Readonly<Record<string, Format>> = {
  email: { test: isEmail, message: "must be an e-mail address", schema: { format: "email" } },
  uri: patterned(uriPattern, "must be a web address that starts with http:// or https://", 2048),
  uuid: patterned(uuidPattern, "must be a UUID"),
  country: {
    test: (text) => countries.has(text),
    message: "must be a country of ISO 3166-1 such as DE",
    schema: { enum: [...countries] },
  },
  currency: { test: isCurrency, message: "must be a currency of ISO 4217 such as EUR", schema: { $ref: currencyComponent } },
  language: patterned(languagePattern, "must be a language of BCP 47 such as de or pt-BR", 35),
  decimal: patterned(decimalPattern, "must be decimal text such as 19.99"),
  visible: patterned(`^[${blank}]*[^\\u0000${blank}][^\\u0000]*$`, "must have a character that can be seen"),
  word: patterned(`^[^\\u0000${blank}/]+$`, "must have neither blanks nor slashes"),
};
