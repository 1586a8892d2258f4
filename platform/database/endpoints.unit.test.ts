import assert from "node:assert/strict";
import { describe, test } from "node:test";
import pg from "pg";
import type { Connection } from "./connection.ts";
import { Endpoints, ReadOnlyServer } from "./endpoints.ts";
import type { Target } from "./endpoints.ts";

const connection: Connection = { host: "db.example", port: 5432, user: "u", password: "secret", database: "d" };
const given = (changes: Partial<Connection>): Promise<Target> =>
  new Endpoints({ ...connection, ...changes }).connect(async (target) => target);

function refusal(code: string): Error {
  return Object.assign(new pg.DatabaseError("no", 2, "error"), { code });
}

describe("SEC-05: by default", () => {
  test("connections to another machine need a verified certificate, those to this one are plain text", async () => {
    for (const host of ["db.example", "10.0.0.1", "127.example", "localhost.example", "fd00::1"])
      assert.deepEqual((await given({ host })).ssl, { rejectUnauthorized: true }, host);
    for (const host of ["127.0.0.1", "localhost", "::1", "/var/run/postgresql"]) assert.equal((await given({ host })).ssl, false, host);
    assert.equal((await given({ tls: "disable" })).ssl, false);
    assert.deepEqual((await given({ host: "127.0.0.1", tls: "require" })).ssl, { rejectUnauthorized: false });
  });
});

describe("several hosts", () => {
  const hosts: Partial<Connection> = {
    host: "a",
    others: [
      { host: "b", port: 1 },
      { host: "c", port: 2 },
    ],
  };

  test("are tried in turn, beginning with the one that was connected to last", async () => {
    const reach = new Endpoints({ ...connection, ...hosts });
    const tried: string[] = [];
    const only = (host: string) =>
      reach.connect(async (target) => {
        tried.push(target.host);
        if (target.host !== host) throw target.host === "b" ? new ReadOnlyServer("b accepts no writes") : new Error("connect ECONNREFUSED");
        return target.host;
      });
    assert.equal(await only("c"), "c");
    assert.equal(await only("c"), "c");
    assert.equal(await only("a"), "a");
    assert.deepEqual(tried, ["a", "b", "c", "c", "c", "a"]);
    await assert.rejects(only("none"), (error: Error) => {
      assert.equal(
        error.message,
        "none of a:5432, b:1, c:2 accepts the connection: PostgreSQL at a:5432: connect ECONNREFUSED; b accepts no writes; PostgreSQL at c:2: connect ECONNREFUSED",
      );
      return true;
    });
  });

  test("PostgreSQL's own error about one takes precedence over a network error about another", async () => {
    const reach = new Endpoints({ ...connection, ...hosts });
    const failing = reach.connect(async ({ host }) => {
      throw host === "b" ? refusal("57P03") : new Error("connect ECONNREFUSED");
    });
    await assert.rejects(failing, (error) => error instanceof pg.DatabaseError && error.code === "57P03");
  });
});

describe("a password from a function", () => {
  test("is read for each connection, and again when it was rotated meanwhile", async () => {
    let now = 1;
    const reach = new Endpoints({ ...connection, password: async () => `secret ${now++}` });
    const used: string[] = [];
    const opened = await reach.connect(async ({ password }) => {
      used.push(password);
      if (used.length < 3) throw refusal("28P01");
      return password;
    });
    assert.equal(opened, "secret 3");
    assert.deepEqual(used, ["secret 1", "secret 2", "secret 3"]);
  });

  test("a fixed password is not tried twice, and other errors are not retried", async () => {
    let tries = 0;
    const fail = (code: string) => async (): Promise<never> => {
      tries++;
      throw refusal(code);
    };
    await assert.rejects(new Endpoints(connection).connect(fail("28P01")), /no/);
    await assert.rejects(new Endpoints({ ...connection, password: async () => "x" }).connect(fail("3D000")), /no/);
    assert.equal(tries, 2);
  });

  test("when it cannot be read, the error says so and has the cause", async () => {
    const reach = new Endpoints({ ...connection, password: () => Promise.reject(new Error("the vault is sealed")) });
    await assert.rejects(
      reach.connect(async () => 1),
      (error: Error) => /password could not be read/.test(error.message) && error.cause instanceof Error,
    );
  });
});
