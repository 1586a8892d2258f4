import { describeConfig } from "@kontor/platform/config/read-config.ts";
import { configuration } from "../../configuration.ts";
import { table } from "../terminal/table.ts";

/** Every variable with its value and where that comes from, as a table. Secrets, and passwords in addresses, are hidden. */
export function settingsTable(env: Readonly<Record<string, string | undefined>>): string {
  const rows = describeConfig(configuration).map(({ variable, secret, default: fallback, about }) => {
    const value = env[variable] ?? "";
    const file = secret ? (env[`${variable}_FILE`] ?? "") : "";
    if (file !== "") return [variable, "(hidden)", `file ${file}`, about];
    if (value !== "") return [variable, secret ? "(hidden)" : withoutPassword(value), "environment", about];
    return [variable, fallback ?? "(not set)", fallback === undefined ? "" : "default", about];
  });
  return table(["VARIABLE", "VALUE", "FROM", "WHAT"], rows);
}

function withoutPassword(text: string): string {
  return text.replace(/^([a-z][a-z0-9+.-]*:\/\/)[^/?#]*@/i, "$1(hidden)@");
}
