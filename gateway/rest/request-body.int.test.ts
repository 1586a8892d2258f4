import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { openTestShop, tokenOf } from "../test-shop.ts";

async function problemOf(
  response: Response,
): Promise<{ status: number; reason: string; detail: string; errors?: { field: string; reason: string; message: string }[] }> {
  return (await response.json()) as never;
}

/** The body of a raw response; asserts that it is a problem with the security headers. */
function problemInText(response: string, status: number): { reason: string } {
  assert.match(response, new RegExp(`^HTTP/1\\.1 ${status} `));
  for (const header of [
    /content-type: application\/problem\+json/i,
    /x-content-type-options: nosniff/i,
    /x-frame-options: deny/i,
    /content-security-policy: default-src 'none'/i,
  ])
    assert.match(response, header);
  assert.doesNotMatch(response, /^server:/im);
  return JSON.parse(response.slice(response.indexOf("\r\n\r\n") + 4)) as { reason: string };
}

describe("gateway: request bodies", { concurrency: true }, () => {
  it("GW-08: a body with wrong or unknown fields is refused by name, and no service is called", async () => {
    await using shop = await openTestShop();
    const cases: [verb: string, path: string, body: unknown, fields: string[]][] = [
      ["POST", "/v1/register", { email: "no address", password: "short", name: "Ann" }, ["email", "password"]],
      [
        "POST",
        "/v1/register",
        { email: "a@b.example", password: "long enough", name: "Ann", roles: ["admin"], id: "usr_1" },
        ["roles", "id"],
      ],
      [
        "POST",
        "/v1/register",
        '{"email":"a@b.example","password":"long enough","name":"Ann","__proto__":{"x":1},"constructor":1}',
        ["__proto__", "constructor"],
      ],
      ["POST", "/v1/register", { email: 5, password: ["x"], name: {} }, ["email", "password", "name"]],
      ["POST", "/v1/register", [], ["$"]],
      ["POST", "/v1/register", "null", ["$"]],
      ["POST", "/v1/register", "7", ["$"]],
      ["GET", "/v1/products?limit=1000&colour=red", undefined, ["colour"]],
      ["GET", "/v1/products?limit=1000", undefined, ["limit"]],
      ["GET", "/v1/products/prd_1?product=prd_2", undefined, ["product"]],
      ["POST", "/v1/register?debug=1", {}, ["debug"]],
    ];
    for (const [verb, path, body, fields] of cases) {
      const response = await shop.send(verb, path, body);
      const problem = await problemOf(response);
      assert.deepEqual([response.status, problem.reason], [400, "INVALID_REQUEST"], `${path} ${JSON.stringify(body)}`);
      assert.deepEqual(problem.errors?.map(({ field }) => field).sort(), [...fields].sort(), path);
    }
    assert.equal(shop.seen.length, 0);
  });

  it("GW-08: an enum value that is not known is refused by name", async () => {
    await using shop = await openTestShop();
    const problem = await problemOf(await shop.get("/v1/products?status=PURPLE"));
    assert.deepEqual([problem.status, problem.errors?.[0]?.field], [400, "status"]);
  });

  it("GW-08: malformed JSON is refused with the position where it breaks, and without quoting it", async () => {
    await using shop = await openTestShop();
    const cases: [body: string | Buffer, message: RegExp][] = [
      ['{"password": "hunter2",}', /line 1, column 24/],
      ['{"a": 1,\n "b": tru}', /line 2, column 7/],
      ["{", /line 1, column 2/],
      ["\ufeff{}", /line 1, column 1/],
      [Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d]), /not UTF-8/],
      [`{"a":${"[".repeat(100_000)}`, /line 1, column 100006/],
    ];
    for (const [body, message] of cases) {
      const response = await fetch(`${shop.url}/v1/register`, { method: "POST", body, headers: { "Content-Type": "application/json" } });
      const problem = await problemOf(response);
      assert.deepEqual([response.status, problem.reason], [400, "INVALID_REQUEST"]);
      assert.match(problem.detail, message);
      assert.equal(problem.errors?.[0]?.reason, "MALFORMED_JSON");
      assert.doesNotMatch(JSON.stringify(problem), /hunter2/);
    }
    const deep = await shop.send("POST", "/v1/register", `{"name":${"[".repeat(100_000)}${"]".repeat(100_000)}}`);
    assert.equal(deep.status, 400);
    assert.equal(shop.seen.length, 0);
    assert.deepEqual(shop.faults, []);
  });

  it("GW-08: only plain JSON is accepted", async () => {
    await using shop = await openTestShop();
    const send = (headers: Record<string, string>) =>
      fetch(`${shop.url}/v1/register`, { method: "POST", body: Buffer.from("{}"), headers });
    for (const headers of [
      {},
      { "Content-Type": "text/plain" },
      { "Content-Type": "application/x-www-form-urlencoded" },
      { "Content-Type": "application/json; charset=latin1" },
      { "Content-Type": "application/jsonx" },
      { "Content-Type": "application/json", "Content-Encoding": "gzip" },
    ]) {
      const response = await send(headers);
      assert.deepEqual([response.status, (await problemOf(response)).reason], [415, "UNSUPPORTED_MEDIA_TYPE"], JSON.stringify(headers));
    }
    for (const type of ["application/json; charset=utf-8", 'Application/JSON;charset="UTF-8"', "application/json"])
      assert.equal((await send({ "Content-Type": type })).status, 400);
    const twice =
      "POST /v1/register HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
    assert.equal(problemInText(await shop.raw(twice), 415).reason, "UNSUPPORTED_MEDIA_TYPE");
    assert.equal(shop.seen.length, 0);
  });

  it("GW-08: a body for a route without one is refused, an absent one for a route with one is not", async () => {
    await using shop = await openTestShop();
    const withBody = await shop.send("DELETE", "/v1/carts/crt_1/lines/lin_1", { a: 1 });
    assert.deepEqual([withBody.status, (await problemOf(withBody)).reason], [400, "INVALID_REQUEST"]);
    const authorization = { Authorization: `Bearer ${await tokenOf(shop)}` };
    assert.equal((await fetch(`${shop.url}/v1/logout`, { method: "POST", headers: authorization })).status, 204);
    assert.equal((await shop.send("POST", "/v1/logout", {}, authorization)).status, 204);
  });

  it("GW-08: a body over the limit gets 413, with and without a length, and is not read on", async () => {
    await using shop = await openTestShop({ gateway: { bodyBytesMax: 1000 } });
    const long = JSON.stringify({ name: "x".repeat(1000) });
    const sized = await shop.send("POST", "/v1/register", long);
    assert.deepEqual([sized.status, (await problemOf(sized)).reason], [413, "BODY_TOO_LARGE"]);
    const head = "POST /v1/register HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n";
    const chunked = `${head}Transfer-Encoding: chunked\r\n\r\n${long.length.toString(16)}\r\n${long}\r\n0\r\n\r\n`;
    assert.equal(problemInText(await shop.raw(chunked), 413).reason, "BODY_TOO_LARGE");
    assert.equal(problemInText(await shop.raw(`${head}Content-Length: 99999999\r\n\r\n{`), 413).reason, "BODY_TOO_LARGE");
    const endless = `${head}Transfer-Encoding: chunked\r\n\r\n${"400\r\n".concat("x".repeat(1024), "\r\n").repeat(3)}`;
    assert.equal(problemInText(await shop.raw(endless), 413).reason, "BODY_TOO_LARGE");
    const huge = await shop.send("POST", "/v1/register", "x".repeat(10_000_000));
    assert.deepEqual([huge.status, (await problemOf(huge)).reason], [413, "BODY_TOO_LARGE"]);
    assert.equal((await shop.send("POST", "/v1/register", { name: "x".repeat(900) })).status, 400, "one below it is read");
    assert.equal(shop.seen.length, 0);
  });

  it("asks the client to continue with its body only when it will be read", async () => {
    await using shop = await openTestShop();
    const head = (path: string) =>
      `POST ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n`;
    assert.match(await shop.raw(`${head("/v1/register")}{}`), /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 400 /);
    problemInText(await shop.raw(head("/v1/orders")), 401);
  });

  it("API-10: what node's parser refuses is a problem too", async () => {
    await using shop = await openTestShop();
    assert.equal(problemInText(await shop.raw("rubbish\r\n\r\n"), 400).reason, "INVALID_REQUEST");
    assert.equal(problemInText(await shop.raw("BREW /v1/products HTTP/1.1\r\nHost: x\r\n\r\n"), 400).reason, "INVALID_REQUEST");
    assert.equal(problemInText(await shop.raw("GET /v1/products HTTP/1.1\r\nConnection: close\r\n\r\n"), 400).reason, "INVALID_REQUEST");
    assert.equal(
      problemInText(await shop.raw(`GET / HTTP/1.1\r\nHost: x\r\nX-Long: ${"x".repeat(20_000)}\r\n\r\n`), 431).reason,
      "INVALID_REQUEST",
    );
    assert.equal(
      problemInText(
        await shop.raw("POST /v1/register HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        400,
      ).reason,
      "INVALID_REQUEST",
    );
    await using hasty = await openTestShop({ gateway: { arrivalMs: 150 } });
    const slowHead = hasty.raw("GET /v1/products HTTP/1.1\r\nHost: x\r\n");
    const slowBody = hasty.raw("POST /v1/register HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{");
    assert.equal(problemInText(await slowHead, 408).reason, "REQUEST_TIMEOUT");
    assert.equal(problemInText(await slowBody, 408).reason, "REQUEST_TIMEOUT");
    assert.equal((await shop.get("/v1/products")).status, 200);
  });
});
