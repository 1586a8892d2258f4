import { isCurrency } from "@kontor/contracts/money.ts";
import { basename } from "node:path";
import { createFindingsReport } from "./catalogue/findings-report.ts";
import { importCatalogue } from "./catalogue/import-catalogue.ts";
import type { ImportTally } from "./catalogue/import-catalogue.ts";
import { CommandError, readArgs, subcommand, UsageError } from "./command.ts";
import type { Command } from "./command.ts";
import { withApp } from "./app/with-app.ts";
import { createProgress } from "./terminal/progress.ts";

export const importCommand: Command = {
  name: "import",
  summary: "import a catalogue: products, variants, images and stock",
  usage: `Usage: kontor import shopify FILE [--currency EUR] [--stock] [--dry-run] [--report FILE]

Reads the CSV file that Shopify exports products to. Works beside a running shop and without one. Importing again updates products by
their handles and leaves stock as it is.

  --currency EUR   what the prices are in; EUR by default
  --stock          also set stock that is known already to the file's, by booking the difference
  --dry-run        only read and check the file
  --report FILE    write everything that was rejected or changed to a CSV file`,
  async run(args, context) {
    const [, rest] = subcommand(args, ["shopify"]);
    const options = {
      currency: { type: "string", default: "EUR" },
      stock: { type: "boolean" },
      "dry-run": { type: "boolean" },
      report: { type: "string" },
    } as const;
    const { values, positionals } = readArgs(rest, options, ["FILE"]);
    const currency = values.currency.toUpperCase();
    if (!isCurrency(currency)) throw new UsageError(`"${values.currency}" is not a currency: say EUR, USD or another of ISO 4217`);
    const dryRun = values["dry-run"] === true;
    const path = positionals[0]!;
    const { readShopifyProducts } = await import("../shopify/read-products.ts");
    const { readText } = await import("../shopify/read-text.ts");
    const file = await readText(path).catch((error: unknown) => {
      if (error instanceof Error && "code" in error && error.code === "ENOENT")
        throw new CommandError(`there is no file ${path}`, { cause: error });
      throw new CommandError(`${path} cannot be read: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
    });
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
    context.stdout.write(
      summary(tally, { dryRun, seconds, rejectedRows: findings.counts.rejected, notes: findings.counts.note }) +
        findings.shown(context.stdout),
    );
    return tally.accepted === 0 && tally.rejected > 0 ? 1 : 0;
  },
};

function summary(tally: ImportTally, facts: { dryRun: boolean; seconds: string; rejectedRows: number; notes: number }): string {
  const count = (value: number): string => value.toLocaleString("en");
  const { accepted, created, updated, unchanged, rejected, variants, generatedSkus, booked } = tally;
  const became = facts.dryRun
    ? `${count(accepted)} could be imported`
    : `${count(created)} created, ${count(updated)} updated, ${count(unchanged)} unchanged`;
  const rows = [
    ["Products", `${became}, ${count(rejected)} rejected`],
    ["Variants", `${count(variants)}${generatedSkus === 0 ? "" : `, ${count(generatedSkus)} with a generated SKU`}`],
    ...(facts.dryRun ? [] : [["Stock", `booked for ${count(booked)} SKUs`]]),
    ["Findings", `${count(facts.rejectedRows)} rejected, ${count(facts.notes)} notes`],
    ["Time", `${facts.seconds} s`],
  ];
  return rows.map(([name = "", text = ""]) => `${name.padEnd(9)} ${text}\n`).join("");
}
