import { currencyCodes, minorUnits } from "@kontor/contracts/currencies.ts";
import { requestedDigitsMax } from "@kontor/contracts/money.ts";

/** A JSON Schema (2020-12) of an OpenAPI document. */
export type ApiSchema = Readonly<Record<string, unknown>>;

/** The component of money in requests. */
export const requestedMoneyName = "RequestedMoney";
/** The same, where nothing is not enough. */
export const aboveZeroName = "RequestedMoneyAboveZero";

/** The components that say what the validator's keywords for money check: currencies, each with its own decimals, and the largest amount. */
export function moneyComponents(): readonly (readonly [string, ApiSchema])[] {
  return [
    ["Currency", { type: "string", description: "A currency of ISO 4217.", enum: currencyCodes }],
    [requestedMoneyName, requestedMoney("An amount of money: decimal text with at most the currency's own number of decimals.")],
    [aboveZeroName, requestedMoney("The same, above zero.", { not: { pattern: "^[0.]*$" } })],
  ];
}

function requestedMoney(description: string, amount: ApiSchema = {}): ApiSchema {
  const decimals = [...new Set(minorUnits.values())].toSorted((a, b) => a - b);
  return {
    description: `${description} At most ${requestedDigitsMax} digits.`,
    anyOf: decimals.map((count) => ({
      type: "object",
      properties: {
        currency: { type: "string", enum: currencyCodes.filter((code) => minorUnits.get(code) === count) },
        amount: {
          type: "string",
          pattern: `^[0-9]{1,${requestedDigitsMax - count}}${count === 0 ? "" : `(\\.[0-9]{1,${count}})?`}$`,
          ...amount,
        },
      },
      required: ["currency", "amount"],
      additionalProperties: false,
    })),
  };
}
