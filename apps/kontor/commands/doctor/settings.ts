import { describeConfig } from "@kontor/platform/config/read-config.ts";
import { configuration } from "../../configuration.ts";
import { table } from "../terminal/table.ts";

/** Every variable with its value and where that comes from, as a table. Of a secret, and of passwords in addresses, nothing is shown. */
export function settingsTable(env: Readonly<Record<string, string | undefined>>): string {
  const rows = describeConfig(configuration).map(({ variable, secret, default: fallback, about }) => {
    const given = env[variable] ?? "";
    const file = secret ? (env[`${variable}_FILE`] ?? "") : "";
    if (file !== "") return [variable, "(hidden)", `file ${file}`, about];
    if (given !== "") return [variable, secret ? "(hidden)" : withoutPassword(given), "environment", about];
    return [variable, fallback ?? "(not set)", fallback === undefined ? "" : "default", about];
  });
  return table(["VARIABLE", "VALUE", "FROM", "WHAT"], rows);
}

function withoutPassword(text: string): string {
  return text.replace(/^([a-z][a-z0-9+.-]*:\/\/)[^/?#]*@/i, "$1(hidden)@");
}
