import { isCurrency } from "@kontor/contracts/money.ts";

/** A format of the rules: how it is checked, and the message when a text does not have it. */
export interface Format {
  readonly test: (text: string) => boolean;
  readonly message: string;
}

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
const language = /^[a-z]{2,3}(?:-[a-z]{4})?(?:-(?:[a-z]{2}|[0-9]{3}))?(?:-(?:[a-z0-9]{5,8}|[0-9][a-z0-9]{3}))*$/i;

function isEmail(text: string): boolean {
  const at = text.lastIndexOf("@");
  if (text.length > 254 || at < 1 || at > 64) return false;
  const domain = text.slice(at + 1);
  return local.test(text.slice(0, at)) && host.test(domain) && !/(^|\.)-|-(\.|$)/.test(domain);
}

function isUri(text: string): boolean {
  // URL skips blanks and line ends, which would then be in a header or a page.
  return text.length <= 2048 && /^https?:\/\/[^\s\p{C}"<>\\^`{|}]+$/iu.test(text) && URL.canParse(text);
}

/** The formats that rules can name. */
export const formats: Readonly<Record<string, Format>> = {
  email: { test: isEmail, message: "must be an e-mail address" },
  uri: { test: isUri, message: "must be a web address that starts with http:// or https://" },
  uuid: { test: (text) => /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text), message: "must be a UUID" },
  country: { test: (text) => countries.has(text), message: "must be a country of ISO 3166-1 such as DE" },
  currency: { test: isCurrency, message: "must be a currency of ISO 4217 such as EUR" },
  language: { test: (text) => text.length <= 35 && language.test(text), message: "must be a language of BCP 47 such as de or pt-BR" },
  decimal: { test: (text) => /^-?[0-9]+(?:\.[0-9]+)?$/.test(text), message: "must be decimal text such as 19.99" },
};
