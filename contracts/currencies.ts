/**
 * The currencies of ISO 4217 and their minor units (how many decimals an amount has), from list one of its maintenance agency (SIX) as published on
 * 2026-01-01. Ours, and frozen: what a stored amount is worth must not depend on which locale data the runtime brings. Codes without a minor unit
 * (gold, test codes) are left out, because nothing can cost so much of them. A code that comes is added here; one whose minor unit changes needs
 * migrations that scale the stored amounts as well, such as `services/orders/migrations/0002-iso-4217.sql`.
 */
const current: Readonly<Record<number, string>> = {
  0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
  2:
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW CNY COP COU CRC CUP CVE CZK " +
    "DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR " +
    "LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR " +
    "SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XAD XCD XCG YER " +
    "ZAR ZMW ZWG",
  3: "BHD IQD JOD KWD LYD OMR TND",
  4: "CLF UYW",
};

/** Codes that shops may have amounts in and that the list does not have (any more): withdrawn ones with their last minor unit. */
const former: Readonly<Record<number, string>> = { 2: "ANG BGN CUC HRK SLL XDR XSU ZWL" };

/** The minor units of every currency that amounts may be in, by code. */
export const minorUnits: ReadonlyMap<string, number> = new Map(
  [current, former].flatMap((list) =>
    Object.entries(list).flatMap(([decimals, codes]) => codes.split(" ").map((code) => [code, Number(decimals)] as const)),
  ),
);

/** The codes, in alphabetical order. */
export const currencyCodes: readonly string[] = [...minorUnits.keys()].toSorted();
