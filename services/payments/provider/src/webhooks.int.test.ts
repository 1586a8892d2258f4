import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { sql } from "@kontor/platform/database/sql.ts";
import { Webhook } from "standardwebhooks";
import { delegating, openTestProvider, webhookSecret } from "./test-provider.ts";

const hourMs = 3_600_000;

describe("provider: webhooks", { concurrency: true }, () => {
  it("S14: are signed so that the library of the standard accepts them, and nothing else", async () => {
    await using provider = await openTestProvider();
    const { url } = await provider.open("att_1", { reference: "pay_ü" });
    await provider.pay(url, "4242424242424242");
    await provider.server.idle();
    const { headers, body, event } = provider.webhooks[0]!;
    const webhook = new Webhook(webhookSecret);
    assert.deepEqual(webhook.verify(body, headers), event);
    assert.throws(() => webhook.verify(Buffer.from(body.toString().replace("19.99", "29.99")), headers));
    assert.throws(() => new Webhook(`whsec_${Buffer.alloc(32, 8).toString("base64")}`).verify(body, headers));
    assert.deepEqual(event, { type: "session.succeeded", timestamp: "2026-03-01T12:00:00.000Z", data: await provider.read("att_1") });
    assert.match(headers["webhook-id"] ?? "", /^evt_/);
  });

  it("are delivered again until they are accepted, under the same id, ever more rarely", async () => {
    await using provider = await openTestProvider();
    provider.shopStatuses.push(500, 404, 302);
    const { url } = await provider.open("att_1");
    await provider.pay(url, "4242424242424242");
    await provider.server.idle();
    assert.equal(provider.webhooks.length, 1);
    for (const [waitMs, received] of [
      [999, 1],
      [1, 2],
      [3_999, 2],
      [1, 3],
      [15_999, 3],
      [1, 4],
      [24 * hourMs, 4],
    ] as const) {
      provider.clock.advance(waitMs);
      await provider.server.idle();
      assert.equal(provider.webhooks.length, received);
    }
    assert.equal(new Set(provider.webhooks.map(({ headers }) => headers["webhook-id"])).size, 1);
    const { attempts, delivered } = await provider.database.one<{ attempts: number; delivered: boolean }>(
      sql`select attempts, delivered_at is not null and due_at is null as delivered from webhooks`,
    );
    assert.deepEqual([attempts, delivered], [3, true]);
  });

  it("are not tried again after ten attempts over a day", async () => {
    await using provider = await openTestProvider();
    provider.shopStatuses.push(...Array.from({ length: 20 }, () => 503));
    await provider.pay((await provider.open("att_1")).url, "4242424242424242");
    await provider.server.idle();
    for (let hour = 0; hour < 30; hour++) {
      // Time does not pass within a step, so the attempts of the first minutes need steps of their own.
      for (const ms of hour === 0 ? [1_000, 4_000, 16_000, 64_000, 256_000, 1_024_000] : [hourMs]) {
        provider.clock.advance(ms);
        await provider.server.idle();
      }
    }
    assert.equal(provider.webhooks.length, 10);
    assert.deepEqual(provider.warnings, ["a webhook was not delivered, and is not tried again"]);
    const row = await provider.database.one(sql`select attempts, delivered_at, due_at, problem from webhooks`);
    assert.deepEqual(row, { attempts: 10, delivered_at: null, due_at: null, problem: "the response was 503" });
  });

  it("are delivered after a restart, when they were not before", async () => {
    await using provider = await openTestProvider({ webhookUrl: "http://127.0.0.1:1/nobody" });
    for (let at = 0; at < 5; at++) await provider.pay((await provider.open(`att_${at}`)).url, "4242424242424242");
    await provider.server.idle();
    await provider.server.stop();
    const { waiting } = await provider.database.one<{ waiting: number }>(
      sql`select count(*)::int as waiting from webhooks where due_at is not null`,
    );
    assert.equal(waiting, 5);
    provider.clock.advance(2_000);
    await provider.restart({ webhookUrl: provider.shopUrl });
    await provider.server.idle();
    assert.deepEqual(provider.webhooks.map(({ event }) => event.data.key).toSorted(), ["att_0", "att_1", "att_2", "att_3", "att_4"]);
    await provider.restart();
    await provider.server.idle();
    assert.equal(provider.webhooks.length, 5);
  });

  it("are delivered once, from memory or from the database, when there are more than memory takes", async () => {
    await using provider = await openTestProvider();
    await provider.server.stop();
    await provider.database.run(sql`
      with opened as (
        insert into sessions (key, page, reference, status, currency, amount, return_url, decline_code, created_at, updated_at)
        select 'att_' || n, 'cs_' || n, 'pay_' || n, 'succeeded', 'EUR', 100, 'https://shop.example/', '', ${provider.clock.now()}, ${provider.clock.now()}
        from generate_series(1, 2500) n returning key
      )
      insert into webhooks (id, session_key, type, times, at, due_at)
      select 'evt_' || key, key, 'session.succeeded', 1, ${provider.clock.now()}, ${provider.clock.now()} from opened`);
    await provider.restart();
    for (let at = 0; at < 5; at++) await provider.pay((await provider.open(`fresh_${at}`)).url, "4242424242424242");
    await provider.server.idle();
    assert.equal(provider.webhooks.length, 2_505);
    assert.equal(new Set(provider.webhooks.map(({ headers }) => headers["webhook-id"])).size, 2_505);
    const { waiting } = await provider.database.one<{ waiting: number }>(
      sql`select count(*)::int as waiting from webhooks where delivered_at is null`,
    );
    assert.equal(waiting, 0);
  });

  it("are recorded later when they cannot be at once, and not sent again meanwhile", async () => {
    await using provider = await openTestProvider();
    const { database } = provider;
    let failures = 1;
    const sessions = await Promise.all(["att_1", "att_2"].map((key) => provider.open(key)));
    await provider.restart({
      publicUrl: "https://pay.example",
      database: {
        ...delegating(database),
        run: (query) => (failures-- > 0 ? Promise.reject(new Error("unavailable")) : database.run(query)),
      },
    });
    const pay = ({ url }: { url: string }) => provider.pay(provider.url + new URL(url).pathname, "4242424242424242");
    await pay(sessions[0]!);
    await assert.rejects(provider.server.idle(), /could not be recorded/);
    await pay(sessions[1]!);
    await provider.server.idle();
    assert.deepEqual(provider.warnings, ["webhook deliveries could not be recorded"]);
    assert.equal(provider.webhooks.length, 2);
    assert.match(provider.webhooks[0]!.event.data.url, /^https:\/\/pay\.example\/pay\/cs_/);
    const { waiting } = await database.one<{ waiting: number }>(
      sql`select count(*)::int as waiting from webhooks where delivered_at is null`,
    );
    assert.equal(waiting, 0);
  });

  it("are recorded when the server stops, so that a restart does not send them again", async () => {
    await using provider = await openTestProvider();
    await provider.pay((await provider.open("att_1")).url, "4242424242424242");
    await provider.restart();
    await provider.server.idle();
    assert.equal(provider.webhooks.length, 1);
    await provider.server.stop();
    await provider.server.stop();
  });
});
