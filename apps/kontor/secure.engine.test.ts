import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { engineAddress } from "@kontor/platform/testing/engines.ts";
import { eraseServers } from "@kontor/platform/testing/erase-servers.ts";
import { afterTests } from "@kontor/platform/testing/postgres.ts";
import { openTlsBroker } from "@kontor/platform/events/kafka/test-kafka-tls.ts";
import { openTlsServer, writtenLog } from "@kontor/platform/testing/test-tls-server.ts";
import type { TlsServer } from "@kontor/platform/testing/test-tls-server.ts";
import { readConfiguration } from "./configuration.ts";
import { seedDemo } from "./demo/seed-demo.ts";
import { openApp } from "./app.ts";

/** The plain server's address, of the server with TLS before it. */
function secured(plain: string, { port }: TlsServer, scheme: string): string {
  const [, user = ""] = /^\w+:\/\/([^@/]*@)?/.exec(plain) ?? [];
  return `${scheme}://${user}127.0.0.1:${port}`;
}

describe("a shop whose servers speak TLS alone", () => {
  it("SEC-05: connects to all of them with one file of authorities, and nothing in plain text", async () => {
    const folder = await mkdtemp(join(tmpdir(), "kontor-secure-"));
    afterTests(() => rm(folder, { recursive: true }));
    const plain = {
      redis: engineAddress("ENGINE_REDIS"),
      rabbitmq: engineAddress("ENGINE_RABBITMQ"),
      opensearch: engineAddress("ENGINE_OPENSEARCH"),
      mongodb: engineAddress("ENGINE_MONGODB"),
    };
    const [kafka, redis, rabbitmq, opensearch, mongodb] = await Promise.all([
      openTlsBroker(engineAddress("ENGINE_KAFKA")),
      openTlsServer(plain.redis),
      openTlsServer(plain.rabbitmq),
      openTlsServer(plain.opensearch),
      openTlsServer(plain.mongodb),
    ]);
    const servers = { kafka, redis, rabbitmq, opensearch, mongodb };
    const authorities = join(folder, "servers.pem");
    await writeFile(
      authorities,
      Object.values(servers)
        .map(({ ca }) => ca)
        .join(""),
    );
    const namespace = `e2e_${randomBytes(4).toString("hex")}`;
    const postgres = new URL(engineAddress("ENGINE_POSTGRES"));
    postgres.search = new URLSearchParams({ sslmode: "verify-full", sslrootcert: engineAddress("ENGINE_POSTGRES_CA") }).toString();
    const nowhere = { KONTOR_PORT: "0", KONTOR_MAILBOX_PORT: "0", KONTOR_SMTP_PORT: "0", KONTOR_PROVIDER_PORT: "0" };
    const config = readConfiguration({
      ...nowhere,
      KONTOR_DATA: folder,
      KONTOR_NAMESPACE: namespace,
      KONTOR_MASTER_KEY: randomBytes(32).toString("hex"),
      KONTOR_REQUIRE_TLS: "true",
      KONTOR_SERVERS_CA: authorities,
      KONTOR_DATABASE_URL: postgres.href,
      KONTOR_CACHE: secured(plain.redis, redis, "rediss"),
      KONTOR_EVENTS: `kafka://127.0.0.1:${kafka.port}?tls=true`,
      KONTOR_TASKS: secured(plain.rabbitmq, rabbitmq, "amqps"),
      KONTOR_SEARCH: secured(plain.opensearch, opensearch, "https"),
      KONTOR_CARTS_DOCUMENTS: `${secured(plain.mongodb, mongodb, "mongodb")}/?tls=true`,
    });
    const { log } = writtenLog();
    const app = await openApp({ config, log, as: "shop" });
    afterTests(() => app.stop());
    // Products and their stock go into the logs, over Kafka to other services, and into OpenSearch.
    const { created } = await seedDemo(app.clientsFor("kontor"));
    await app.settle();
    assert.ok(created > 0);
    const bypassed = Object.entries(servers).map(([name, server]) => [name, server.received() > 0, server.bypassed()]);
    await app.stop();
    assert.deepEqual(
      bypassed,
      Object.keys(servers).map((name) => [name, true, 0]),
    );
    await eraseServers(namespace);
  });
});
