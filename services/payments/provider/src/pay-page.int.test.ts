import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { sql } from "@kontor/platform/database/sql.ts";
import { testCards } from "./test-cards.ts";
import { openTestProvider } from "./test-provider.ts";

describe("provider: payment page", { concurrency: true }, () => {
  it("PAY-02: shows the amount and a form that works without scripts, and pays with it", async () => {
    await using provider = await openTestProvider({ merchant: "Fish & Sons" });
    const { url } = await provider.open("att_1", { returnUrl: 'https://shop.example/done?a="b"' });
    const response = await fetch(url);
    const html = await response.text();
    assert.equal(response.status, 200);
    assert.match(html, /19\.99 EUR/);
    assert.match(html, /Fish &#38; Sons/);
    assert.doesNotMatch(html, /"b"/);
    const policy = response.headers.get("content-security-policy") ?? "";
    assert.match(policy, /default-src 'none'.*form-action 'self' https:\/\/shop\.example;.*frame-ancestors 'none'/);
    assert.equal(response.headers.get("cache-control"), "no-store");
    assert.equal(response.headers.get("referrer-policy"), "no-referrer");
    for (const { number } of testCards) assert.ok(html.replaceAll(" ", "").includes(number));

    const [, action = ""] = /<form method="post" action="([^"]+)">/.exec(html) ?? [];
    const paid = await provider.pay(new URL(action, url).href, "4242 4242 4242 4242", { expiry: "12/30", cvc: "123" });
    assert.deepEqual([paid.status, paid.location], [303, 'https://shop.example/done?a="b"']);
    assert.equal((await provider.read("att_1")).status, "succeeded");
    assert.match(await (await fetch(url)).text(), /It is paid[\s\S]*Back to Fish/);
  });

  it("fills the form with a test card by its button, without scripts", async () => {
    await using provider = await openTestProvider();
    const { url } = await provider.open("att_1");
    assert.match(await (await fetch(`${url}?card=decline`)).text(), /name="number"[^>]* value="4000 0000 0000 0002"/);
    assert.match(await (await fetch(`${url}?card=4242424242424242`)).text(), /name="number"[^>]* value=""/);
    for (const path of ["../assets/pay.css", "../assets/pay.js"]) {
      const asset = await fetch(new URL(path, url));
      assert.deepEqual([asset.status, asset.headers.get("x-content-type-options")], [200, "nosniff"]);
      await asset.text();
    }
    assert.equal((await fetch(new URL("../assets/../package.json", url))).status, 404);
  });

  it("shows the form again, and why, for an invalid card number; and does not show the number again", async () => {
    await using provider = await openTestProvider();
    const { url } = await provider.open("att_1");
    const wrong = await provider.pay(url, "4242424242424241");
    assert.equal(wrong.status, 422);
    assert.match(wrong.html, /This is not a card number/);
    assert.match(wrong.html, /<form method="post"/);
    assert.doesNotMatch(wrong.html, /4242424242424241/);
    assert.match((await provider.pay(url, "4242424242424242", { expiry: "01/26" })).html, /has expired/);
    assert.equal((await provider.pay(url, "")).status, 422);
    assert.equal((await provider.read("att_1")).status, "open");
  });

  it("knows only pages with their whole secret, and no page by its session's key", async () => {
    await using provider = await openTestProvider();
    const { url } = await provider.open("att_1");
    for (const wrong of [url.slice(0, -1), `${url}0`, new URL("att_1", url).href, new URL("/pay/", url).href, `${url.slice(0, -1)}%00`]) {
      const page = await fetch(wrong);
      assert.equal(page.status, 404, wrong);
      assert.match(await page.text(), /There is nothing here/);
      assert.equal((await provider.pay(wrong, "4242424242424242")).status, 404, wrong);
    }
    assert.deepEqual(provider.warnings, []);
  });

  it("PAY-02: approves, and declines with a reason", async () => {
    await using provider = await openTestProvider();
    for (const [number, status, declineCode] of [
      ["4242424242424242", "succeeded", ""],
      ["4000000000000002", "declined", "card_declined"],
      ["4000000000009995", "declined", "insufficient_funds"],
      ["5555555555554444", "declined", "unknown_card"],
    ] as const) {
      const { url } = await provider.open(number);
      assert.equal((await provider.pay(url, number)).status, 303);
      const session = await provider.read(number);
      assert.deepEqual([session.status, session.declineCode], [status, declineCode]);
      await provider.server.idle();
      assert.deepEqual(provider.webhooks.at(-1)?.event.data, session);
      assert.equal(provider.webhooks.at(-1)?.event.type, `session.${status}`);
    }
    assert.equal(await provider.count("charges"), 1);
  });

  it("PAY-02: times out: no response for long, processing, then declined", async () => {
    await using provider = await openTestProvider({ delays: { timeoutMs: 30_000 } });
    const { url } = await provider.open("att_1");
    const paying = provider.pay(url, "4000000000000101");
    await becomes(provider, "att_1", "processing");
    provider.clock.advance(29_999);
    assert.equal(await Promise.race([paying, provider.read("att_1").then(({ status }) => status)]), "processing");
    assert.equal((await provider.pay(url, "4242424242424242")).status, 409, "it cannot be paid with another card meanwhile");
    provider.clock.advance(1);
    const answer = await paying;
    assert.equal(answer.status, 504);
    assert.match(answer.html, /The bank has not responded/);
    assert.equal((await provider.read("att_1")).status, "processing");
    provider.clock.advance(30_000);
    await provider.server.idle();
    const session = await provider.read("att_1");
    assert.deepEqual([session.status, session.declineCode], ["declined", "timeout"]);
    assert.deepEqual(
      provider.webhooks.map(({ event }) => event.data),
      [session],
    );
    assert.equal(await provider.count("charges"), 0);
  });

  it("PAY-02: approves after a time-out", async () => {
    await using provider = await openTestProvider();
    const { url } = await provider.open("att_1");
    assert.equal((await provider.pay(url, "4000000000000119")).status, 504);
    assert.equal((await provider.read("att_1")).status, "processing");
    provider.clock.advance(9_999);
    await provider.server.idle();
    assert.deepEqual([(await provider.read("att_1")).status, provider.webhooks.length], ["processing", 0]);
    provider.clock.advance(1);
    await provider.server.idle();
    assert.equal((await provider.read("att_1")).status, "succeeded");
    assert.deepEqual(
      provider.webhooks.map(({ event }) => event.type),
      ["session.succeeded"],
    );
    assert.equal(await provider.count("charges"), 1);
  });

  it("continues with what was processing after a restart", async () => {
    await using provider = await openTestProvider();
    for (const key of ["att_1", "att_2"]) await provider.pay((await provider.open(key)).url, "4000000000000119");
    await provider.restart();
    await provider.server.idle();
    assert.equal((await provider.read("att_1")).status, "processing");
    provider.clock.advance(10_000);
    await provider.server.idle();
    assert.deepEqual(
      [(await provider.read("att_1")).status, await provider.count("charges"), provider.webhooks.length],
      ["succeeded", 2, 2],
    );
  });

  it("PAY-02: sends the webhook three times with one id, or never, as the card says", async () => {
    await using provider = await openTestProvider();
    await provider.pay((await provider.open("att_1")).url, "4000000000000259");
    await provider.pay((await provider.open("att_2")).url, "4000000000000341");
    await provider.server.idle();
    assert.deepEqual(
      provider.webhooks.map(({ event }) => event.data.key),
      ["att_1", "att_1", "att_1"],
    );
    assert.equal(new Set(provider.webhooks.map(({ headers }) => headers["webhook-id"])).size, 1);
    assert.deepEqual([(await provider.read("att_1")).status, (await provider.read("att_2")).status], ["succeeded", "succeeded"]);
    await provider.restart();
    await provider.server.idle();
    assert.equal(provider.webhooks.length, 3);
  });

  it("R6: charges once, however often and however quickly it is paid", async () => {
    await using provider = await openTestProvider();
    const { url } = await provider.open("att_1");
    const answers = await Promise.all(Array.from({ length: 20 }, () => provider.pay(url, "4242424242424242")));
    for (const { status } of answers) assert.equal(status, 303);
    await provider.server.idle();
    assert.deepEqual([await provider.count("charges"), await provider.count("webhooks"), provider.webhooks.length], [1, 1, 1]);
    await assert.rejects(
      provider.database.run(
        sql`insert into charges (id, session_key, reference, currency, amount, refunded, at) select 'ch_x', session_key, reference, currency, amount, 0, at from charges`,
      ),
      { code: "23505" },
    );
    await assert.rejects(provider.database.run(sql`update charges set refunded = amount + 1`), { code: "23514" });
  });

  it("R6: is charged or closed, never both, when both come at once", async () => {
    await using provider = await openTestProvider();
    const pairs = await Promise.all(
      Array.from({ length: 30 }, async (_, at) => {
        const key = `att_${at}`;
        const { url } = await provider.open(key);
        const [, closed] = await Promise.all([provider.pay(url, "4242424242424242"), provider.call("POST", `/v1/sessions/${key}/close`)]);
        const { status } = await provider.read(key);
        assert.equal((closed.body as { status: string }).status, status);
        return status;
      }),
    );
    assert.equal(await provider.count("charges"), pairs.filter((status) => status === "succeeded").length);
    assert.ok(pairs.every((status) => status === "succeeded" || status === "closed"));
  });

  it("PAY-01: stores no card number, in no column of any table", async () => {
    await using provider = await openTestProvider();
    for (const { name, number } of testCards.filter((card) => card.name !== "timeout"))
      await provider.pay((await provider.open(name)).url, number, { expiry: "12/30", cvc: "987" });
    await provider.pay((await provider.open("unknown")).url, "5555 5555 5555 4444");
    provider.clock.advance(60_000);
    await provider.server.idle();
    const tables = await provider.database.rows<{ name: string }>(
      sql`select table_name as name from information_schema.tables where table_schema = 'public'`,
    );
    assert.ok(tables.length >= 4);
    let rows = 0;
    for (const { name } of tables)
      for (const { row } of await provider.database.rows<{ row: string }>(sql`select t::text as row from ${sql.name(name)} as t`)) {
        rows++;
        const digits = row.replaceAll(/[ -]/g, "");
        for (const number of [...testCards.map((card) => card.number), "5555555555554444"])
          assert.ok(!digits.includes(number), `${name} holds a card number`);
        assert.doesNotMatch(row, /\b987\b/);
      }
    assert.ok(rows > 15);
    const { last4 } = await provider.database.one<{ last4: string }>(sql`select card_last4 as last4 from sessions where key = 'approve'`);
    assert.equal(last4, "4242");
  });
});

/** Asks until it is so; the runner's time limit ends what never is. */
async function becomes(provider: Awaited<ReturnType<typeof openTestProvider>>, key: string, status: string): Promise<void> {
  while ((await provider.read(key)).status !== status);
}
