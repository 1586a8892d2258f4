import { isCurrency } from "@kontor/contracts/money.ts";
import { basename } from "node:path";
import { createFindingsReport } from "./catalogue/findings-report.ts";
import type { FindingsReport } from "./catalogue/findings-report.ts";
import { importCatalogue } from "./catalogue/import-catalogue.ts";
import type { ImportTally } from "./catalogue/import-catalogue.ts";
import { CommandError, readArgs, subcommand, UsageError } from "./command.ts";
import type { Command, Context } from "./command.ts";
import { readConfiguration } from "../configuration.ts";
import type { TextFile } from "../shopify/read-text.ts";
import { ask } from "./terminal/ask.ts";
import { withApp } from "./app/with-app.ts";
import { createProgress } from "./terminal/progress.ts";

export const importCommand: Command = {
  name: "import",
  summary: "import a catalogue: products, variants, images and stock",
  usage: `Usage: kontor import shopify FILE [--currency EUR] [--stock] [--dry-run] [--report FILE]

Reads the CSV file that Shopify exports products to. Works beside a running shop and without one. Importing again updates products by
their handles and leaves stock as it is.

  --currency EUR   what the prices are in; without it the file's column Currency says so, or KONTOR_CURRENCY, or you are asked
  --stock          also set stock that is known already to the file's, by booking the difference
  --dry-run        only read and check the file
  --report FILE    write everything that was rejected or changed to a CSV file`,
  async run(args, context) {
    const [, rest] = subcommand(args, ["shopify"]);
    const options = {
      currency: { type: "string" },
      stock: { type: "boolean" },
      "dry-run": { type: "boolean" },
      report: { type: "string" },
    } as const;
    const { values, positionals } = readArgs(rest, options, ["FILE"]);
    if (values.currency !== undefined) checkCurrency(values.currency);
    const dryRun = values["dry-run"] === true;
    const path = positionals[0]!;
    const { currencyIn, readShopifyProducts } = await import("../shopify/read-products.ts");
    const written = values.currency ?? (await currencyIn((await openFile(path)).chunks)) ?? (await shopCurrency(context));
    const currency = checkCurrency(written);
    const file = await openFile(path);
    const findings = await createFindingsReport(values.report);
    const progress = createProgress(context.stderr, "products");
    const products = readShopifyProducts({ chunks: file.chunks, currency, report: findings.report });
    const shared = {
      bookDifference: values.stock === true,
      note: `import of ${basename(path)}`.slice(0, 500),
      report: findings.report,
      progressed: (count: number) => progress.at(file.progress(), count),
    };
    let tally: ImportTally;
    let startedMs = performance.now();
    try {
      tally = dryRun
        ? await importCatalogue(products, shared)
        : await withApp(context, (app) => {
            startedMs = performance.now();
            return importCatalogue(products, { ...shared, clients: app.clientsFor("kontor") });
          });
    } finally {
      progress.end();
      await findings.end();
    }
    const seconds = ((performance.now() - startedMs) / 1_000).toFixed(1);
    context.stdout.write(summary(tally, { dryRun, seconds, findings }) + findings.shown(context.stdout));
    if (tally.accepted === 0) throw new CommandError("no product of the file could be imported");
    return 0;
  },
};

/** Throws `UsageError` for what is no currency. */
function checkCurrency(written: string): string {
  const currency = written.toUpperCase();
  if (!isCurrency(currency)) throw new UsageError(`"${written}" is not a currency: say EUR, USD or another of ISO 4217`);
  return currency;
}

/** The shop's own currency; else the one that the user says. Throws `UsageError` when nobody can be asked: a guess would change what things cost. */
async function shopCurrency(context: Context): Promise<string> {
  const { currency } = readConfiguration(context.env);
  if (currency !== undefined) return currency;
  const answer = context.stdin.isTTY === true ? await ask(context, "Which currency are the prices in? (EUR, USD, …) ") : "";
  if (answer === "") throw new UsageError("nothing says which currency the prices are in: add --currency EUR, or set KONTOR_CURRENCY");
  return answer;
}

async function openFile(path: string): Promise<TextFile> {
  const { readText } = await import("../shopify/read-text.ts");
  try {
    return await readText(path);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT")
      throw new CommandError(`there is no file ${path}`, { cause: error });
    throw new CommandError(`${path} cannot be read: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

function summary(tally: ImportTally, facts: { dryRun: boolean; seconds: string; findings: FindingsReport }): string {
  const count = (value: number): string => value.toLocaleString("en");
  const { counts, changed } = facts.findings;
  const { accepted, created, updated, unchanged, rejected, variants, generatedSkus, booked } = tally;
  const became = facts.dryRun
    ? `${count(accepted)} could be imported`
    : `${count(created)} created, ${count(updated)} updated, ${count(unchanged)} unchanged`;
  const rows = [
    ["Products", `${became}, ${count(rejected)} rejected`],
    ["Variants", `${count(variants)}${generatedSkus === 0 ? "" : `, ${count(generatedSkus)} with a generated SKU`}`],
    ...(facts.dryRun ? [] : [["Stock", `booked for ${count(booked)} SKUs`]]),
    ["Findings", `${count(counts.rejected)} rejected, ${count(counts.note)} notes`],
    ...(changed.size === 0 ? [] : [["Changed", Array.from(changed, ([column, notes]) => `${column} ${count(notes)}`).join(", ")]]),
    ["Time", `${facts.seconds} s`],
  ];
  return rows.map(([name = "", text = ""]) => `${name.padEnd(9)} ${text}\n`).join("");
}
