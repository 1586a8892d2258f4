import { X509Certificate } from "node:crypto";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { systemClock } from "@kontor/platform/clock/clock.ts";
import { codeOf } from "@kontor/platform/database/embedded-failure.ts";
import { createAuthority, isHost, issueCertificate } from "@kontor/platform/rpc/certificates.ts";
import type { KeyPair } from "@kontor/platform/rpc/certificates.ts";
import { readConfiguration } from "../configuration.ts";
import { allRoles } from "../roles.ts";
import { CommandError, parsedArgs, UsageError } from "./command.ts";
import type { Command, Output } from "./command.ts";

const authorityDays = 3_650;
const daysMax = 3_650;
const roles: ReadonlySet<string> = new Set(allRoles);

export const certs: Command = {
  name: "certs",
  summary: "make certificates for the services of a development cluster",
  usage: `Usage: kontor certs [--out FOLDER] [--hosts HOST,…] [--days 365] [SERVICE …]

Makes a certificate authority (ca.crt, ca.key), and a key and a certificate that it has signed for each service named, or for all of them:
orders.crt, orders.key. A certificate names its service as spiffe://kontor/orders, and the hosts localhost and orders. An authority that is
there already is used again; keys and certificates are replaced, and running processes load the new ones by themselves.

  SERVICE        ${allRoles.slice(0, 5).join(", ")}, …; ${allRoles.slice(-3).join(", ")}. Joined with + it is one
                 certificate for a process that is both: carts+orders
  --out FOLDER   where to put them; the folder certs in the data folder (KONTOR_DATA) otherwise
  --hosts HOST   further names or IP addresses at which the services are reached, with commas or several times
  --days DAYS    how long the certificates are valid

Whoever has ca.key can impersonate every service: use the authority for development only, on one machine.`,
  async run(args, { env, stdout }) {
    const options = {
      out: { type: "string" },
      hosts: { type: "string", multiple: true, default: [] as string[] },
      days: { type: "string", default: "365" },
    } as const;
    const { values, positionals } = parsedArgs(args, options);
    const days = /^\d{1,4}$/.test(values.days) ? Number(values.days) : 0;
    if (days < 1 || days > daysMax) throw new UsageError(`--days must be a whole number from 1 to ${daysMax}, not "${values.days}"`);
    const hosts = values.hosts.flatMap((list) => list.split(",")).map((host) => host.trim());
    const unknownHost = hosts.find((host) => !isHost(host));
    if (unknownHost !== undefined) throw new UsageError(`"${unknownHost}" is neither a host's name nor an IP address`);
    const names = positionals.length === 0 ? allRoles : [...new Set(positionals)];
    for (const name of names)
      for (const service of name.split("+"))
        if (!roles.has(service)) throw new UsageError(`there is no service "${service}": ${allRoles.join(", ")}`);

    const folder = resolve(values.out ?? join(readConfiguration(env).data, "certs"));
    const now = systemClock.now();
    await writing(folder, () => mkdir(folder, { recursive: true }));
    const authority = (await readAuthority(folder, now)) ?? (await makeAuthority(folder, now, stdout));
    for (const name of names) {
      const pair = await issueCertificate(authority, { services: [...new Set(name.split("+"))], hosts, days, now });
      await writePair(folder, name, pair);
      printExpiry(stdout, name, pair);
    }
    const [first = ""] = names;
    stdout.write(
      `\nIn ${folder}. A process takes its own with\n  KONTOR_TLS_CA=${join(folder, "ca.crt")}\n` +
        `  KONTOR_TLS_CERT=${join(folder, `${first}.crt`)}\n  KONTOR_TLS_KEY=${join(folder, `${first}.key`)}\n`,
    );
    return 0;
  },
};

/** The authority in the folder; undefined when there is none. */
async function readAuthority(folder: string, now: Date): Promise<KeyPair | undefined> {
  const [certificate, key] = await Promise.all(["ca.crt", "ca.key"].map((name) => readIfThere(join(folder, name))));
  if (certificate === undefined && key === undefined) return undefined;
  const startOver = "remove ca.crt and ca.key to begin with a new authority, and make all certificates again";
  if (certificate === undefined || key === undefined)
    throw new CommandError(
      `${folder} has ${certificate === undefined ? "ca.key but no ca.crt" : "ca.crt but no ca.key"}: bring it back, or ${startOver}`,
    );
  let problem: string | undefined;
  try {
    const { validToDate } = new X509Certificate(certificate);
    if (validToDate <= now) problem = `has expired at ${validToDate.toISOString()}`;
    // Tried, so that any problem with it is found before a file is written.
    else await issueCertificate({ certificate, key }, { services: ["gateway"], days: 1, now });
  } catch (error) {
    problem = `cannot be used: ${error instanceof Error ? error.message : String(error)}`;
  }
  if (problem !== undefined) throw new CommandError(`the authority in ${folder} ${problem}; ${startOver}`);
  return { certificate, key };
}

async function makeAuthority(folder: string, now: Date, stdout: Output): Promise<KeyPair> {
  const authority = await createAuthority({ days: authorityDays, now });
  await writePair(folder, "ca", authority);
  printExpiry(stdout, "ca", authority);
  return authority;
}

function printExpiry(stdout: Output, name: string, { certificate }: KeyPair): void {
  stdout.write(`${name.padEnd(14)} valid until ${new X509Certificate(certificate).validToDate.toISOString().slice(0, 10)}\n`);
}

async function writePair(folder: string, name: string, { certificate, key }: KeyPair): Promise<void> {
  await writing(folder, async () => {
    await replace(join(folder, `${name}.key`), key, 0o600);
    await replace(join(folder, `${name}.crt`), certificate, 0o644);
  });
}

/** A process that reads the file at this moment gets the old or the new one, never a part of one. */
async function replace(file: string, text: string, mode: number): Promise<void> {
  // A file that an interrupted command has left may have other permissions.
  await rm(`${file}.new`, { force: true });
  await writeFile(`${file}.new`, text, { mode, flag: "wx" });
  await rename(`${file}.new`, file);
}

async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw new CommandError(`${file} cannot be read: ${codeOf(error) ?? String(error)}`, { cause: error });
  }
}

async function writing<T>(folder: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const code = codeOf(error);
    if (code === undefined) throw error;
    const why: Readonly<Record<string, string>> = {
      EACCES: "this user may not write there",
      EPERM: "this user may not write there",
      EROFS: "it is read-only",
      ENOTDIR: "a part of its path is a file",
      EEXIST: "something else is there",
      ENOSPC: "the disk is full",
    };
    throw new CommandError(`the folder ${folder} cannot be written: ${why[code] ?? code}; --out names another one`, { cause: error });
  }
}
