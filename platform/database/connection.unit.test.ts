import assert from "node:assert/strict";
import { test } from "node:test";
import { connectionFrom, connectionUrl } from "./connection.ts";

test("a connection survives its URL", () => {
  for (const host of ["127.0.0.1", "db.example", "::1", "/var/run/post gres"]) {
    const connection = { host, port: 5433, user: "a@b", password: "p:/?#%", database: "shop" };
    assert.deepEqual(connectionFrom(connectionUrl(connection), "KONTOR_DATABASE_URL"), connection);
  }
});

test("what is no URL of a database is refused, and the password is not shown", () => {
  assert.throws(
    () => connectionFrom("mysql://root:secret@db/shop", "KONTOR_DATABASE_URL"),
    (error: Error) => {
      assert.match(error.message, /^KONTOR_DATABASE_URL must be like/);
      assert.doesNotMatch(error.message, /secret/);
      return true;
    },
  );
  assert.throws(() => connectionFrom("postgres://db", "KONTOR_DATABASE_URL"), /KONTOR_DATABASE_URL/);
});
