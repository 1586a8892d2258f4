import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { currencyCodes, minorUnits } from "./currencies.ts";

/** Another copy of list one of ISO 4217, published on 2026-01-01: each code with its minor unit, in the list's order, by countries. */
const listOne =
  "AFN2 EUR2 ALL2 DZD2 USD2 AOA2 XCD2 XAD2 ARS2 AMD2 AWG2 AUD2 AZN2 BSD2 BHD3 BDT2 BBD2 BYN2 BZD2 XOF0 BMD2 INR2 BTN2 BOB2 BOV2 BAM2 BWP2 " +
  "NOK2 BRL2 BND2 BIF0 CVE2 KHR2 XAF0 CAD2 KYD2 CLP0 CLF4 CNY2 COP2 COU2 KMF0 CDF2 NZD2 CRC2 CUP2 XCG2 CZK2 DKK2 DJF0 DOP2 EGP2 SVC2 ERN2 " +
  "SZL2 ETB2 FKP2 FJD2 XPF0 GMD2 GEL2 GHS2 GIP2 GTQ2 GBP2 GNF0 GYD2 HTG2 HNL2 HKD2 HUF2 ISK0 IDR2 IRR2 IQD3 ILS2 JMD2 JPY0 JOD3 KZT2 KES2 " +
  "KPW2 KRW0 KWD3 KGS2 LAK2 LBP2 LSL2 ZAR2 LRD2 LYD3 CHF2 MOP2 MKD2 MGA2 MWK2 MYR2 MVR2 MRU2 MUR2 MXN2 MXV2 MDL2 MNT2 MAD2 MZN2 MMK2 NAD2 " +
  "NPR2 NIO2 NGN2 OMR3 PKR2 PAB2 PGK2 PYG0 PEN2 PHP2 PLN2 QAR2 RON2 RUB2 RWF0 SHP2 WST2 STN2 SAR2 RSD2 SCR2 SLE2 SGD2 SBD2 SOS2 SSP2 LKR2 " +
  "SDG2 SRD2 SEK2 CHE2 CHW2 SYP2 TWD2 TJS2 TZS2 THB2 TOP2 TTD2 TND3 TRY2 TMT2 UGX0 UAH2 AED2 USN2 UYU2 UYI0 UYW4 UZS2 VUV0 VES2 VED2 VND0 " +
  "YER2 ZMW2 ZWG2";

/** Codes that releases of before took, with the decimals that they gave them; amounts in them may be stored. */
const former = "ANG2 BGN2 CUC2 HRK2 SLL2 XDR2 XSU2 ZWL2";

describe("currencies", () => {
  it("CAT-05: are those of ISO 4217 with their minor units, whatever the runtime's locale data say", () => {
    const expected = `${listOne} ${former}`.split(" ").toSorted();
    assert.deepEqual(
      currencyCodes.map((code) => `${code}${minorUnits.get(code)}`),
      expected,
    );
  });
});
