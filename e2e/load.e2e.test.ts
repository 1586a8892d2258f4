import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { before, describe, it } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { promisify } from "node:util";
import { openObserver } from "./observer.ts";
import type { Observer } from "./observer.ts";
import { openShopWithData } from "./shop-with-data.ts";
import type { ShopWithData } from "./shop-with-data.ts";
import type { Answer } from "./shopper.ts";

const concurrent = Number(process.env["KONTOR_CONCURRENT"] ?? 500);
const connections = 20;

describe("a shop under load", () => {
  let fixture: ShopWithData;
  let observer: Observer;

  before(async () => {
    fixture = await openShopWithData({ env: { KONTOR_CONNECTIONS: String(connections) } });
    observer = await openObserver(fixture.shop);
  });

  async function until(reached: () => Promise<boolean>): Promise<void> {
    while (!(await reached())) await pause(20);
  }

  const line = () => ({ sku: fixture.ids["sku"]!, quantity: 1 });
  const asks: readonly (() => Promise<Answer>)[] = [
    () => fixture.guest.call("GET", "/v1/products?limit=10"),
    () => fixture.guest.call("GET", `/v1/products/${fixture.ids["product"]}`),
    () => fixture.ada.call("GET", "/v1/orders"),
    () => fixture.guest.call("POST", "/v1/carts", { json: { currency: "EUR", lines: [line()] } }),
    () => fixture.ada.call("POST", "/v1/orders", { json: { currency: "EUR", lines: [line()] }, key: randomUUID() }),
  ];

  it(`DAT-08: ${concurrent} requests at once are served or refused in good form, over ${connections} connections at most, which are released`, async (t) => {
    let most = 0;
    const over = { yet: false };
    const watching = (async () => {
      while (!over.yet) {
        most = Math.max(most, await observer.connections());
        await pause(10);
      }
    })();
    const answers = await Promise.all(Array.from({ length: concurrent }, (_, nth) => asks[nth % asks.length]!()));
    over.yet = true;
    await watching;
    const statuses = new Map<number, number>();
    for (const { status, headers, text } of answers) {
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
      if (status < 300) continue;
      assert.equal(status, 503, text);
      assert.ok(Number(headers.get("retry-after")) >= 1, "says when to come again");
    }
    t.diagnostic(`${JSON.stringify(Object.fromEntries(statuses))}, ${most} connections at most`);
    // A second start says that another process uses the data.
    assert.ok(most <= connections + 1, `${most} connections`);
    for (const ask of asks) {
      const { status } = await ask();
      assert.ok(status < 300, "and is well afterwards");
    }
    await until(async () => (await observer.connections()) < connections);
  });

  it("OBS-16: while PostgreSQL is suspended the shop lives and is not ready, and is ready when it goes on", async () => {
    const postmaster = fixture.shop.postgresPid;
    // It first, so that it starts no others.
    process.kill(postmaster, "SIGSTOP");
    const children = await childrenOf(postmaster);
    try {
      signal(children, "SIGSTOP");
      const [live, ready] = await Promise.all([fixture.guest.call("GET", "/livez"), fixture.guest.call("GET", "/readyz")]);
      assert.deepEqual([live.status, ready.status, ready.body.reason], [200, 503, "DEPENDENCY_UNAVAILABLE"]);
      assert.equal((await fixture.guest.call("GET", "/livez")).status, 200);
    } finally {
      signal([...children, postmaster], "SIGCONT");
    }
    await until(async () => (await fixture.guest.call("GET", "/readyz")).status === 200);
    const placed = await asks.at(-1)!();
    assert.equal(placed.status, 201, placed.text);
  });

  it("RES-08: on SIGTERM under load it finishes what it has begun, accepts no more, and exits with 0 within 10 s", async () => {
    const unlock = await observer.lock("carts");
    // These are in the middle of it when the signal comes.
    const begun = Array.from({ length: 10 }, () => fixture.ada.call("GET", `/v1/carts/${fixture.ids["cart"]}`));
    const orders = Array.from({ length: 5 }, () => fixture.ada.order([line()]).then(undefined, (error: unknown) => error));
    const settled = Promise.all(begun);
    await until(async () => (await observer.statements("carts")) > 0);
    await pause(100); // they are a few microseconds apart
    const before = performance.now();
    const stopped = fixture.shop.stop();
    await until(async () => fixture.shop.lines.some((text) => text.includes('"message":"stops"')));
    await assert.rejects(fetch(`${fixture.shop.api}/livez`), TypeError);
    await unlock();
    for (const { status, headers, text } of await settled) {
      assert.equal(status, 200, text);
      assert.equal(headers.get("connection"), "close");
    }
    await Promise.all(orders);
    assert.equal(await stopped, 0);
    assert.ok(performance.now() - before < 10_000);
    await fixture.shop.start();
    const { code, output } = await fixture.shop.run(["verify"]);
    assert.equal(code, 0, output);
  });

  it("OBS-16: without its PostgreSQL the shop ends, with work under way that waits for it too, says why, and comes back with all it had", async () => {
    const { body: order } = await fixture.ada.order([line()]);
    // Sagas wait for this lock, so that the loss finds them under way.
    const unlock = await observer.lock("inventory");
    const load = Promise.allSettled(Array.from({ length: 40 }, () => fixture.ada.order([line()])));
    await until(async () => (await observer.statements("inventory")) > 0);
    process.kill(fixture.shop.postgresPid, "SIGKILL");
    const code = await fixture.shop.ended;
    await load;
    await assert.rejects(unlock());
    assert.equal(code, 1, "so that its supervisor starts it again");
    assert.ok(fixture.shop.lines.some((text) => text.includes("PostgreSQL has ended") && text.includes('"level":"error"')));
    await fixture.shop.start();
    assert.equal((await fixture.ada.expect(200, "GET", `/v1/orders/${order.id}`)).body.status, "PENDING");
  });
});

async function childrenOf(parent: number): Promise<number[]> {
  const { stdout } = await promisify(execFile)("ps", ["-A", "-o", "pid=,ppid="]);
  const rows = stdout.split("\n").map((line) => line.trim().split(/\s+/).map(Number));
  return rows.filter(([, ppid]) => ppid === parent).map(([pid]) => pid!);
}

function signal(pids: readonly number[], name: NodeJS.Signals): void {
  for (const pid of pids)
    try {
      process.kill(pid, name);
    } catch (error) {
      // A connection's process that has ended meanwhile.
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
}
