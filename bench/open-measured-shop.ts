import { randomBytes } from "node:crypto";
import { rmSync } from "node:fs";
import pg from "pg";
import type { Addresses } from "@kontor/kontor/installation.ts";
import type { Connection } from "@kontor/platform/database/connection.ts";
import { eraseEmbeddedPostgres } from "@kontor/platform/database/embedded.ts";
import { startChild } from "./child.ts";
import type { Child } from "./child.ts";
import { developmentServerPorts, startDevelopmentServers, variablesForShop } from "./development-servers.ts";
import type { DevelopmentServers } from "./development-servers.ts";
import { environment, newFolder } from "./environment.ts";
import type { Load } from "./load.ts";
import type { OperatorCommand } from "./operator.ts";
import type { Order } from "./shop.ts";

/** A filled shop in a process of its own, as `npm start` runs it, but with its payment provider and mailbox in further processes. */
export interface MeasuredShop {
  readonly shop: Child<Order>;
  readonly load: Child<Load>;
  readonly development: DevelopmentServers;
  readonly folder: string;
  readonly api: string;
  readonly superuser: Connection;
  /** Connected as the superuser, with the extensions pg_stat_statements and pg_walinspect. */
  readonly database: pg.Client;
  readonly products: number;
  /** Throws when an invariant does not hold, in the data of the shop, its provider and its mailbox. Gives the number of mails. */
  verify(): Promise<number>;
  /** Ends all processes and deletes the data. */
  stop(): Promise<void>;
}

export interface MeasuredShopOptions {
  readonly products: number;
  /** More of the shop's variables. */
  readonly variables?: Readonly<Record<string, string>>;
}

export async function openMeasuredShop({ products, variables: more = {} }: MeasuredShopOptions): Promise<MeasuredShop> {
  await using opened = new AsyncDisposableStack();
  const folder = newFolder();
  opened.defer(async () => {
    await eraseEmbeddedPostgres(folder);
    rmSync(folder, { recursive: true, force: true });
  });
  const ports = await developmentServerPorts();
  const { rpcPort: _, opsPort: __, ...variables } = await environment(folder);
  const env = { ...variables, ...more, ...variablesForShop(ports), KONTOR_MASTER_KEY: randomBytes(32).toString("hex") };
  const shop = await startChild<Order>("./shop.ts", env);
  opened.defer(() => ended(shop));
  const load = await startChild<Load>("./load.ts");
  opened.defer(() => ended(load));
  const { addresses, superuser } = shop.ready as { addresses: Addresses; superuser: Connection };
  const development = await startDevelopmentServers({ ports, env, superuser });
  opened.defer(() => development.stop());
  const database = new pg.Client({ ...superuser });
  await database.connect();
  opened.defer(() => database.end());
  await database.query("create extension if not exists pg_stat_statements; create extension if not exists pg_walinspect");
  await shop.tell({ do: "fill", products, stock: 1_000_000 });
  const all = opened.move();
  return {
    shop,
    load,
    development,
    folder,
    api: addresses.api.replace("localhost", "127.0.0.1"),
    superuser,
    database,
    products,
    verify: async () => {
      await verifyShop({ ...env, ...development.databases });
      const response = await fetch(`http://127.0.0.1:${ports.mailbox}/api/v1/messages?limit=1&total=true`);
      return ((await response.json()) as { total: number }).total;
    },
    stop: () => all.disposeAsync(),
  };
}

async function ended(child: Child<never>): Promise<void> {
  child.kill();
  await child.ended;
}

async function verifyShop(env: Readonly<Record<string, string>>): Promise<void> {
  const operator = await startChild<OperatorCommand>("./operator.ts", env);
  try {
    const broken = await operator.tell<unknown[]>({ do: "verify" });
    if (broken.length > 0) throw new Error(`the invariants do not hold: ${JSON.stringify(broken).slice(0, 2_000)}`);
    await operator.tell({ do: "stop" });
  } finally {
    await ended(operator);
  }
}
