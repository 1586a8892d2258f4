import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { Socket } from "node:net";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import pg from "pg";
import { testDatabase } from "../testing/postgres.ts";

const manifest = fileURLToPath(import.meta.resolve("pg/package.json"));
const { version } = JSON.parse(readFileSync(manifest, "utf8")) as { readonly version: string };
/** What a failure says: the update of pg, and where the code that it breaks is. */
const changed = (what: string, file: "wire-query.ts" | "wire-connection.ts") =>
  `pg ${version} ${what}, which platform/database/${file} relies on: adapt that file before this version of pg is used`;

const handlers = [
  "handleRowDescription",
  "handleDataRow",
  "handleCommandComplete",
  "handleReadyForQuery",
  "handleError",
  "handleEmptyQuery",
] as const;
const methods = ["parse", "bind", "describe", "execute", "sync", "query", "sendCopyFail"] as const;

type Connection = Record<(typeof methods)[number], (argument?: unknown) => void> & {
  readonly stream: unknown;
  readonly parsedStatements: Record<string, string>;
  readonly submittedNamedStatements: Record<string, string>;
};
type Client = pg.Client & { readonly processID: unknown; readonly secretKey: unknown; readonly connection: Connection };

/** Sends one statement as `WireQuery` does, and records what pg calls. */
class Probe {
  readonly name: string;
  readonly text: string;
  readonly calls: { readonly handler: string; readonly message: unknown }[] = [];
  readonly ended = Promise.withResolvers<void>();
  submitted: Connection | undefined;

  constructor(name: string, text: string) {
    this.name = name;
    this.text = text;
    for (const handler of handlers)
      Object.defineProperty(this, handler, {
        value: (message: unknown) => {
          this.calls.push({ handler, message });
          if (handler === "handleReadyForQuery" || handler === "handleError") this.ended.resolve();
        },
      });
  }

  submit(connection: Connection): null {
    this.submitted = connection;
    connection.parse({ name: this.name, text: this.text });
    if (this.name !== "") connection.submittedNamedStatements[this.name] = this.text;
    connection.bind({ statement: this.name, values: [] });
    connection.describe({ type: "P" });
    connection.execute(null);
    connection.sync();
    return null;
  }
}
Object.setPrototypeOf(Probe.prototype, pg.Query.prototype);

describe("the internals of pg that the wire protocol depends on", () => {
  const sockets: Socket[] = [];
  const parameters: unknown[] = [];
  let client: Client;

  before(async () => {
    const { connection } = await testDatabase();
    assert.ok(typeof connection.password === "string");
    const stream = () => {
      const socket = new Socket();
      sockets.push(socket);
      return socket;
    };
    const { host, port, user, password, database } = connection;
    client = new pg.Client({ host, port, user, password, database, pipeline: true, stream }) as Client;
    const events = client.connection as unknown as NodeJS.EventEmitter; // an emitter, by none of pg's types
    events.on("parameterStatus", ({ parameterName }: { readonly parameterName?: unknown }) => parameters.push(parameterName));
    await client.connect();
  });
  after(() => client.end());

  const send = (name: string, text: string): Probe => {
    const probe = new Probe(name, text);
    client.query(probe as unknown as pg.Submittable); // typed for another connection
    return probe;
  };

  test("the client uses the socket that it gets, and has the cancel key, the transaction status and the server's parameters", () => {
    assert.equal(sockets.length, 1, changed("does not call `stream` once for a connection", "wire-connection.ts"));
    assert.equal(client.connection.stream, sockets[0], changed("has no `client.connection.stream`", "wire-connection.ts"));
    for (const key of ["processID", "secretKey"] as const)
      assert.equal(typeof client[key], "number", changed(`has no number \`client.${key}\``, "wire-connection.ts"));
    assert.equal(client.getTransactionStatus(), "I", changed("reports no status I outside of transactions", "wire-connection.ts"));
    assert.ok(parameters.includes("in_hot_standby"), changed("emits no `parameterStatus` with `parameterName`", "wire-connection.ts"));
  });

  test("the connection has the methods of the extended protocol and the names of prepared statements", () => {
    for (const method of methods)
      assert.equal(typeof client.connection[method], "function", changed(`has no \`connection.${method}\``, "wire-query.ts"));
    for (const names of ["parsedStatements", "submittedNamedStatements"] as const)
      assert.equal(typeof client.connection[names], "object", changed(`has no \`connection.${names}\``, "wire-query.ts"));
  });

  test("a query of another class is sent at once and called for each message, in order, with text values", async () => {
    const probes = [send("", "select 1::int as number, null as nothing"), send("", "select 2::int as number, null as nothing")];
    for (const { submitted } of probes)
      assert.equal(submitted, client.connection, changed("does not submit queries of a pipeline at once", "wire-query.ts"));
    await Promise.all(probes.map(({ ended }) => ended.promise));
    for (const [at, { calls }] of probes.entries()) {
      assert.deepEqual(
        calls.map(({ handler }) => handler),
        ["handleRowDescription", "handleDataRow", "handleCommandComplete", "handleReadyForQuery"],
        changed("calls other handlers", "wire-query.ts"),
      );
      const [description, row, complete] = calls.map(({ message }) => message) as [
        { readonly fields: readonly { readonly name: string; readonly dataTypeID: number }[] },
        { readonly fields: readonly unknown[] },
        { readonly text: string },
      ];
      const fields = description.fields.map(({ name, dataTypeID }) => [name, dataTypeID]);
      assert.deepEqual(
        [fields[0], fields[1]?.[0], row.fields, complete.text],
        [["number", 23], "nothing", [String(at + 1), null], "SELECT 1"],
        changed("has messages of another form", "wire-query.ts"),
      );
    }
  });

  test("an error ends its query alone, and names count as prepared until their parsing fails", async () => {
    const [good, bad, next] = [send("good", "select 1"), send("bad", "selekt"), send("", "select 2")];
    await Promise.all([good, bad, next].map(({ ended }) => ended.promise));
    const { parsedStatements, submittedNamedStatements } = client.connection;
    assert.deepEqual(
      [good, bad, next].map(({ calls }) => calls.at(-1)?.handler),
      ["handleReadyForQuery", "handleError", "handleReadyForQuery"],
      changed("reports errors otherwise", "wire-query.ts"),
    );
    assert.equal(bad.calls.length, 1, changed("calls a handler after `handleError`", "wire-query.ts"));
    assert.ok(bad.calls[0]?.message instanceof pg.DatabaseError, changed("gives `handleError` no DatabaseError", "wire-query.ts"));
    assert.deepEqual(
      [parsedStatements["good"], "bad" in parsedStatements, "bad" in submittedNamedStatements, "good" in submittedNamedStatements],
      ["select 1", false, false, false],
      changed("keeps the names of prepared statements otherwise", "wire-query.ts"),
    );
  });
});
