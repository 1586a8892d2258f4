import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { request } from "node:http";
import { before, describe, it } from "node:test";
import { openAnswerCheck } from "./answer-check.ts";
import type { AnswerCheck } from "./answer-check.ts";
import { allOperations, namesIn, operations, pathOf, reasons } from "./operations.ts";
import type { Operation } from "./operations.ts";
import { openShopWithData } from "./shop-with-data.ts";
import type { ShopWithData } from "./shop-with-data.ts";
import { Shopper } from "./shopper.ts";
import type { Answer } from "./shopper.ts";
import { badTokens } from "./tokens.ts";

type Options = Parameters<Shopper["call"]>[2];

describe("the way in", () => {
  let fixture: ShopWithData;
  let answers: AnswerCheck;

  before(async () => {
    fixture = await openShopWithData();
    answers = await openAnswerCheck(fixture.shop.api);
  });

  /** Calls an operation at its path, and checks what is true of every answer. */
  async function at(
    who: Shopper,
    operation: Operation,
    options: Options & { readonly ids?: Readonly<Record<string, string>> } = {},
  ): Promise<Answer> {
    const { ids = fixture.ids, ...others } = options;
    const answer = await who.call(operation.binding.verb, pathOf(operation, ids), {
      ...(operation.takesKey && { key: randomUUID() }),
      ...others,
    });
    answers.check(answer, operation);
    return answer;
  }

  /** A shopper with a token of their own: ending its session affects no other test. */
  async function anybody(like: Shopper): Promise<Shopper> {
    const { email, password } = like;
    return Object.assign(new Shopper(fixture.shop), { email, password }).login();
  }

  const named = (found: Answer): string[] => ((found.body.errors ?? []) as { field: string }[]).map(({ field }) => field);

  it("GW-01 TST-07 GW-03: every route of every service is there for who may use it", async () => {
    const admin = await anybody(fixture.admin);
    const reached = new Map<string, number>();
    for (const operation of operations) {
      // Names nothing: nothing is deleted or ended on the way.
      const answer = await at(admin, operation, { ids: {}, ...(operation.takesJson && { json: {} }) });
      assert.ok(answer.status < 500, `${operation.name}: ${answer.text}`);
      assert.ok(!["ROUTE_NOT_FOUND", "METHOD_NOT_ALLOWED"].includes(answer.body?.reason), `${operation.name}: ${answer.text}`);
      if (answer.body?.reason !== "WEBHOOK_SIGNATURE" && answer.body?.reason !== "REFRESH_TOKEN_INVALID")
        assert.ok(answer.status !== 401 && answer.status !== 403, `${operation.name}: ${answer.text}`);
      reached.set(operation.name, answer.status);
      if (operation.name === "POST /v1/logout") await admin.login();
    }
    assert.ok(reached.size > 35);
  });

  it("GW-01: every route that reads responds to its owner", async () => {
    for (const operation of operations.filter(({ binding }) => binding.verb === "GET")) {
      const { status, text } = await at(operation.forRoles ? fixture.admin : fixture.ada, operation);
      // A checkout that has answered at once has no address of its own.
      const expected = operation.binding.path.includes("{checkout}") ? [404] : [200, 303];
      assert.ok(expected.includes(status), `${operation.name}: ${status} ${text}`);
    }
  });

  it("GW-03 TST-07 S6: every route that is not public responds with 401 to no token and to every bad one", async () => {
    const bad = await badTokens(fixture.shop, fixture.admin.token!);
    const bodies = new Set<string>();
    for (const operation of operations.filter(({ isPublic }) => !isPublic)) {
      const none = await at(fixture.guest, operation, { ids: {} });
      assert.equal(none.status, 401, `${operation.name} without a token`);
      for (const [what, token] of Object.entries(bad)) {
        const { status, body } = await at(fixture.guest, operation, { ids: {}, headers: { authorization: `Bearer ${token}` } });
        assert.equal(status, 401, `${operation.name} with a token ${what}`);
        bodies.add(JSON.stringify({ ...body, traceId: "" }));
      }
    }
    assert.equal(bodies.size, 1, "and to all of them in the same words");
  });

  it("ID-05 S11: after signing out the same access token is refused at every route of every service, and other sessions go on", async () => {
    const [one, other] = [await anybody(fixture.admin), await anybody(fixture.admin)];
    await one.expect(200, "GET", "/v1/me");
    await one.expect(204, "POST", "/v1/logout");
    for (const operation of operations.filter(({ isPublic }) => !isPublic)) {
      const { status, body, headers } = await at(one, operation, { ids: {} });
      assert.deepEqual([status, body.reason], [401, "UNAUTHENTICATED"], operation.name);
      assert.match(headers.get("www-authenticate") ?? "", /invalid_token/);
    }
    await other.expect(200, "GET", "/v1/me");
    await one.login();
    const { body } = await one.expect(200, "GET", "/v1/sessions");
    const ended = body.items.find(({ current }: { current: boolean }) => current).id as string;
    await other.expect(204, "DELETE", `/v1/sessions/${ended}`);
    await one.expect(401, "GET", "/v1/me");
  });

  it("S2 ID-10: every route for a role responds with 403 to a shopper, and no path takes another verb", async () => {
    for (const operation of operations.filter(({ forRoles }) => forRoles)) {
      const { status, body } = await at(fixture.ada, operation, operation.takesJson ? { json: {} } : {});
      assert.deepEqual([status, body.reason], [403, "PERMISSION_DENIED"], operation.name);
    }
    const verbs = ["GET", "POST", "PUT", "PATCH", "DELETE", "PROPFIND"];
    for (const path of new Set(operations.map(({ binding }) => binding.path))) {
      const known = operations.filter(({ binding }) => binding.path === path).map(({ binding }) => binding.verb as string);
      for (const verb of verbs.filter((one) => !known.includes(one))) {
        const answer = await fixture.admin.call(verb, path.replaceAll(/[{}]/g, ""));
        answers.check(answer);
        assert.equal(answer.status, 405, `${verb} ${path}`);
        assert.deepEqual(
          answer.headers
            .get("allow")!
            .split(", ")
            .filter((one) => one !== "HEAD"),
          known.toSorted(),
        );
      }
    }
  });

  it("GW-04 S26: what is no route is refused in the one form, also when it is nearly one", async () => {
    const { order } = fixture.ids;
    const strange = ["/v1", "/v2/orders", "/v0/products", "/v1/Products", "/v1/products/", "//v1/products", "/v1//products", `/v1/orders/${order}/`, "/v1/reservations", "/v1/orders/%2e%2e/products", "/admin", "/metrics", "/kontor.catalog.v1.CatalogService/PriceLines", "/.env", "/%00", "/v1/products/%ff", "/v1/products/%", `/v1/products/${"x".repeat(3_000)}`]; // prettier-ignore
    for (const path of strange) {
      const answer = await asWritten(fixture.shop.api, path);
      answers.check(answer);
      assert.ok([400, 404].includes(answer.status), `${path}: ${answer.status}`);
    }
    const { status } = await fixture.admin.call("GET", "/v1/orders");
    assert.equal(status, 200, "what is one still answers");
  });

  it("GW-05: responses, errors and pages carry the headers that protect a browser", async () => {
    for (const path of [
      "/",
      "/docs",
      "/docs/errors",
      "/docs/errors/OUT_OF_STOCK",
      "/livez",
      "/readyz",
      "/openapi.json",
      "/v1/products",
      `/pay/${fixture.ids["secret"]}/done`,
    ]) {
      const answer = await fixture.guest.call("GET", path);
      answers.check(answer);
      assert.equal(answer.status, 200, path);
    }
    for (const path of ["/nowhere", "/docs/errors/NO_SUCH_REASON"]) {
      const answer = await fixture.guest.call("GET", path);
      answers.check(answer);
      assert.equal(answer.status, 404, path);
    }
  });

  it("GW-08: a body that is malformed, has an unknown property or is too large is refused with the place, at every route that takes one", async () => {
    const admin = await anybody(fixture.admin);
    for (const operation of operations.filter(({ takesJson }) => takesJson)) {
      const path = pathOf(operation, {});
      const send = async (body: string, type = "application/json"): Promise<Answer> => {
        const headers = { "content-type": type, authorization: `Bearer ${admin.token}`, ...keyFor(operation) };
        const response = await fetch(fixture.shop.api + path, { method: operation.binding.verb, headers, body, redirect: "manual" });
        const text = await response.text();
        const answer = { status: response.status, headers: response.headers, text, body: JSON.parse(text) };
        answers.check(answer, operation);
        return answer;
      };
      for (const body of ['{"a":', "[]", '"text"', "null", "7", '{"a":1}{"b":2}']) {
        const { status, text } = await send(body);
        assert.equal(status, 400, `${operation.name} with ${body}: ${text}`);
      }
      const malformed = await send('{"a":');
      assert.deepEqual(named(malformed), ["$"], operation.name);
      const unknown = await send('{"shipsByDragon":true}');
      assert.equal(unknown.status, 400, operation.name);
      assert.ok(named(unknown).includes("shipsByDragon"), `${operation.name}: ${unknown.text}`);
      assert.equal((await send(`{"a":"${"x".repeat(300 * 1024)}"}`)).status, 413, operation.name);
      assert.equal((await send("a=b", "application/x-www-form-urlencoded")).status, 415, operation.name);
    }
  });

  it("GW-08: an unknown enum value, query parameter or repeated one is refused with its name", async () => {
    const cases: readonly (readonly [string, string, object | undefined, string])[] = [
      ["GET", "/v1/products?status=PURPLE", undefined, "status"],
      ["GET", "/v1/orders?status=LOST", undefined, "status"],
      ["GET", "/v1/products?colour=red", undefined, "colour"],
      ["GET", "/v1/products?limit=101", undefined, "limit"],
      ["GET", "/v1/products?limit=-1", undefined, "limit"],
      ["GET", "/v1/products?limit=ten", undefined, "limit"],
      ["GET", "/v1/products?limit=1&limit=2", undefined, "limit"],
      ["GET", "/v1/orders?createdAfter=yesterday", undefined, "createdAfter"],
      ["POST", "/v1/stock/movements", { sku: fixture.ids["sku"], kind: "STOLEN", quantity: 1 }, "kind"],
      [
        "POST",
        "/v1/products",
        { title: "A", status: "SOLD", variants: [{ sku: "a", price: { currency: "EUR", amount: "1.00" } }] },
        "status",
      ],
      [
        "POST",
        "/v1/products",
        { title: "A", variants: [{ sku: "a", price: { currency: "EUR", amount: 1.5 } }] },
        "variants[0].price.amount",
      ],
      ["POST", "/v1/carts", { currency: "EUR", lines: [{ sku: fixture.ids["sku"], quantity: 1.5 }] }, "lines[0].quantity"],
      ["POST", "/v1/carts", { currency: "EUR", lines: [{ sku: fixture.ids["sku"], quantity: -1 }] }, "lines[0].quantity"],
      ["POST", "/v1/carts", { currency: "EUR", lines: [{ sku: fixture.ids["sku"], quantity: 1e9 }] }, "lines[0].quantity"],
      ["POST", "/v1/carts", { currency: "DOUBLOON" }, "currency"],
    ];
    for (const [verb, path, json, field] of cases) {
      const answer = await fixture.admin.call(verb, path, json === undefined ? {} : { json });
      answers.check(answer);
      assert.equal(answer.status, 400, `${verb} ${path}: ${answer.text}`);
      assert.deepEqual(named(answer), [field], answer.text);
    }
  });

  it("API-07: the document is whole, and has all routes of the contracts and no other", () => {
    const { document } = answers;
    assert.match(document.openapi, /^3\.1\./);
    const there = Object.entries(document.paths).flatMap(([path, item]) =>
      Object.keys(item).map((verb) => `${verb.toUpperCase()} ${path}`),
    );
    assert.deepEqual(there.toSorted(), allOperations.map(({ name }) => name).toSorted());
    const resolve = (pointer: string): unknown =>
      pointer
        .split("/")
        .slice(1)
        .reduce(
          (value: unknown, key) => (value as Record<string, unknown> | undefined)?.[key.replaceAll("~1", "/").replaceAll("~0", "~")],
          document,
        );
    const refs = new Set<string>();
    const walk = (value: unknown): void => {
      if (typeof value !== "object" || value === null) return;
      for (const [key, inner] of Object.entries(value)) {
        if (key === "$ref") refs.add(String(inner));
        else walk(inner);
      }
    };
    walk(document);
    for (const ref of refs) assert.ok(ref.startsWith("#/") && resolve(ref.slice(1)) !== undefined, `${ref} leads nowhere`);
    const used = (name: string): boolean => refs.has(`#/components/schemas/${name}`);
    assert.deepEqual(
      Object.keys(document.components.schemas).filter((name) => !used(name)),
      [],
      "every component is used",
    );
    const ids = new Set<string>();
    for (const operation of operations) {
      const { operationId, parameters, responses, security, requestBody } = answers.operation(operation.binding);
      assert.ok(!ids.has(operationId), `${operationId} is there twice`);
      ids.add(operationId);
      const inPath = parameters.filter((one) => one.in === "path");
      assert.deepEqual(inPath.map(({ name }) => name).toSorted(), namesIn(operation.binding.path).toSorted(), operation.name);
      assert.ok(inPath.every(({ required }) => required));
      assert.ok(
        Object.keys(responses).some((status) => /^[23]/.test(status)),
        operation.name,
      );
      assert.ok("4XX" in responses && "5XX" in responses, operation.name);
      const { allow, byCaller } = operation.contract;
      assert.equal(JSON.stringify(security).includes("bearer"), !operation.isPublic || byCaller || allow.length > 1, operation.name);
      if (requestBody !== undefined) assert.ok(operation.binding.body === "*", operation.name);
    }
  });

  it("API-05: every reason of the contracts is explained on its page, with the status and the code that it is declared with", async () => {
    const { text: list } = await fixture.guest.call("GET", "/docs/errors");
    for (const [reason, { status, code }] of reasons) {
      assert.ok(list.includes(`<code>${reason}</code>`), `${reason} is listed`);
      const { text } = await fixture.guest.expect(200, "GET", `/docs/errors/${reason}`);
      assert.ok(text.includes(`HTTP ${status}`) && text.includes(`<code>${code}</code>`), `${reason}: ${text}`);
    }
  });

  it("S3 ORD-01: no writable body takes what is not its caller's to say", async () => {
    const admin = await anybody(fixture.admin);
    const secretly = ["id", "role", "roles", "companyId", "company", "price", "status", "ownerId", "customer", "version", "createdAt", "total", "paid", "isAdmin", "__proto__", "constructor"]; // prettier-ignore
    for (const operation of operations.filter(({ takesJson }) => takesJson)) {
      const known = new Set(operation.contract.method.input.fields.map(({ jsonName }) => jsonName));
      for (const field of secretly.filter((name) => !known.has(name))) {
        const headers = { "content-type": "application/json", authorization: `Bearer ${admin.token}`, ...keyFor(operation) };
        const response = await fetch(fixture.shop.api + pathOf(operation, {}), {
          method: operation.binding.verb,
          headers,
          body: `{"${field}":{"admin":true}}`,
        });
        const text = await response.text();
        const answer = { status: response.status, headers: response.headers, text, body: JSON.parse(text) };
        answers.check(answer, operation);
        assert.equal(answer.status, 400, `${operation.name} with ${field}`);
        assert.ok(named(answer).includes(field), `${operation.name} names ${field}: ${text}`);
      }
    }
    // What a message within the body has for answers only.
    const variant = { sku: "s3", price: { currency: "EUR", amount: "1.00" } };
    for (const field of ["id", "title", "available"]) {
      const answer = await fixture.admin.call("POST", "/v1/products", {
        json: { title: "A", variants: [{ ...variant, [field]: field === "available" ? 9 : "x" }] },
      });
      assert.deepEqual([answer.status, named(answer)], [400, [`variants[0].${field}`]], answer.text);
    }
    const line = { sku: fixture.ids["sku"], quantity: 1 };
    for (const field of ["unitPrice", "price", "total", "title"]) {
      const json = { currency: "EUR", lines: [{ ...line, [field]: { currency: "EUR", amount: "0.01" } }] };
      for (const path of ["/v1/carts", "/v1/orders"]) {
        const answer = await fixture.ada.call("POST", path, { json, ...(path === "/v1/orders" && { key: randomUUID() }) });
        assert.deepEqual([answer.status, named(answer)], [400, [`lines[0].${field}`]], answer.text);
      }
    }
    assert.deepEqual((await fixture.ada.expect(200, "GET", "/v1/me")).body.roles, []);
  });

  it("S1 ID-14: with an id of another's, every route says that there is no such thing", async () => {
    const secretly = new Set(["order", "payment", "cart", "session"]);
    let checked = 0;
    for (const operation of operations.filter(({ binding }) => namesIn(binding.path).some((name) => secretly.has(name)))) {
      if (operation.forRoles) continue;
      const mine = await fixture.eve.expect(201, "POST", "/v1/carts", { json: { currency: "EUR" } });
      const bodies: Record<string, object> = { "/v1/carts/{cart}/lines": { sku: fixture.ids["sku"], quantity: 1 }, "/v1/carts/{cart}/lines/{line}": { quantity: 2 }, "/v1/carts/{cart}/merge": { from: mine.body.id } }; // prettier-ignore
      for (const who of [fixture.eve, fixture.guest]) {
        const answer = await at(who, operation, operation.takesJson ? { json: bodies[operation.binding.path] ?? {} } : {});
        // Deleting what is not there for the caller is done, and does nothing.
        const hidden = operation.binding.verb === "DELETE" ? [204, 404] : [404];
        if (who === fixture.guest && !operation.isPublic) hidden.push(401);
        assert.ok(
          hidden.includes(answer.status),
          `${operation.name} for ${who === fixture.eve ? "another" : "a guest"}: ${answer.status} ${answer.text}`,
        );
        checked++;
      }
    }
    assert.ok(checked >= 20);
    await fixture.ada.expect(200, "GET", `/v1/carts/${fixture.ids["cart"]}`);
    assert.equal((await fixture.ada.expect(200, "GET", `/v1/carts/${fixture.ids["cart"]}`)).body.lines.length, 1);
    assert.ok(
      (await fixture.ada.expect(200, "GET", "/v1/sessions")).body.items.some(({ id }: { id: string }) => id === fixture.ids["session"]),
    );
  });

  it("S12: a key is its caller's and its route's alone, and must be a short visible text", async () => {
    const lines = [{ sku: fixture.ids["sku"]!, quantity: 1 }];
    const key = randomUUID();
    const [one, other] = [await fixture.ada.order(lines, key), await fixture.eve.order(lines, key)];
    assert.deepEqual([one.status, other.status], [201, 201]);
    assert.notEqual(one.body.id, other.body.id);
    const cancelled = await fixture.ada.expect(200, "POST", `/v1/orders/${one.body.id}/cancel`, { json: {}, key });
    assert.equal(cancelled.body.status, "CANCELLED", "another route does its own with the same key");
    const again = await fixture.ada.expect(200, "POST", `/v1/orders/${one.body.id}/cancel`, { json: {}, key });
    assert.equal(again.text, cancelled.text);
    for (const bad of ["x".repeat(256), "x".repeat(10_000), "two words", "tab\tbed", ""]) {
      const answer = await fixture.ada.call("POST", "/v1/orders", {
        json: { currency: "EUR", lines },
        headers: { "idempotency-key": bad },
      });
      answers.check(answer);
      assert.equal(answer.status, 400, bad.slice(0, 20));
    }
    const none = await fixture.ada.call("POST", "/v1/orders", { json: { currency: "EUR", lines } });
    assert.deepEqual([none.status, none.body.reason], [400, "IDEMPOTENCY_KEY_REQUIRED"]);
  });
});

/** A key, where one is taken. */
function keyFor({ takesKey }: Operation): Readonly<Record<string, string>> {
  return takesKey ? { "idempotency-key": randomUUID() } : {};
}

/** Asks for a path as it is: fetch would tidy it up first. */
function asWritten(api: string, path: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const asked = request(api, { path, agent: false }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => (text += chunk));
      response.on("end", () => {
        const headers = new Headers();
        for (let at = 0; at < response.rawHeaders.length; at += 2) headers.append(response.rawHeaders[at]!, response.rawHeaders[at + 1]!);
        resolve({ status: response.statusCode ?? 0, headers, text, body: text === "" ? undefined : JSON.parse(text) });
      });
    });
    asked.on("error", reject).end();
  });
}
