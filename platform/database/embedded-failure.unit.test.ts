import assert from "node:assert/strict";
import { test } from "node:test";
import { explain, explainFile, failureIn } from "./embedded-failure.ts";

test("PostgreSQL's messages are classified by what can be done about them", () => {
  const said: [string, string][] = [
    ['PANIC:  could not write to file "pg_wal/xlogtemp.42": No space left on device', "disk full"],
    ['FATAL:  could not extend file "base/1/2691": wrote only 4096 of 8192 bytes at block 10\nHINT:  Check free disk space.', "disk full"],
    ['initdb: error: could not write file "/shop/base/1/1255": Disk quota exceeded', "disk full"],
    ['FATAL:  lock file "postmaster.pid" already exists', "already running"],
    ["FATAL:  pre-existing shared memory block (key 7, ID 8) is still in use", "already running"],
    ['LOG:  could not bind IPv4 address "127.0.0.1": Address already in use\nFATAL:  could not create any TCP/IP sockets', "port taken"],
    ["FATAL:  could not map anonymous shared memory: Cannot allocate memory", "no memory"],
    ['FATAL:  data directory "/shop" has wrong ownership', "no permission"],
    ["FATAL:  database files are incompatible with server", "other version"],
    ['LOG:  unrecognized configuration parameter "jitt" in file', "bad settings"],
    ["PANIC:  could not locate a valid checkpoint record at 0/14E8A28", "corrupt"],
  ];
  for (const [lines, failure] of said) assert.equal(failureIn(lines), failure, lines);
});

test("a failure says what to do and quotes the last lines", () => {
  const { message } = explain("corrupt", "/shop/postgres", ["long ago", ...Array.from({ length: 12 }, (_, at) => `line ${at}`)].join("\n"));
  assert.match(message, /Restore a backup.*kontor reset/);
  assert.match(message, /line 11$/);
  assert.doesNotMatch(message, /long ago/);
});

test("a full or closed disk is explained, other errors stay as they are", () => {
  const failed = (code: string): Error => Object.assign(new Error(`${code}: it failed`), { code });
  const message = (error: unknown): string => String(explainFile(error, "/shop"));
  assert.match(message(failed("ENOSPC")), /No space is left on the disk of \/shop/);
  assert.match(message(failed("EROFS")), /\/shop cannot be written.*another folder/);
  assert.match(message(failed("ENOTDIR")), /a file of that name exists/);
  const other = failed("EIO");
  assert.equal(explainFile(other, "/shop"), other);
});
