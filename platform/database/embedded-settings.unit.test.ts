import assert from "node:assert/strict";
import { test } from "node:test";
import { settingsFile } from "./embedded-settings.ts";

test("the caller's settings win, and undefined removes a default", () => {
  const text = settingsFile("18", { port: 5432 }, { jit: true, work_mem: undefined, shared_preload_libraries: "pg_stat_statements" });
  assert.match(text, /^port = '5432'$/m);
  assert.match(text, /^jit = on$/m);
  assert.match(text, /^shared_preload_libraries = 'pg_stat_statements'$/m);
  assert.doesNotMatch(text, /^work_mem/m);
});

test("a version gets no setting that it does not know", () => {
  assert.match(settingsFile("18", {}, {}), /^io_method/m);
  assert.doesNotMatch(settingsFile("16", {}, {}), /^io_method/m);
});

test("a value cannot end its line", () => {
  assert.match(settingsFile("18", { unix_socket_directories: "/it's \\here" }, {}), /^unix_socket_directories = '\/it''s \\\\here'$/m);
  assert.throws(() => settingsFile("18", { port: "1\nfsync = off" }, {}), /not a PostgreSQL setting: port/);
});
