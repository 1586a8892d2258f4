import { MongoServerError } from "mongodb";
import { systemClock } from "../clock/clock.ts";
import { refusalIn, refuse } from "../errors/refusal.ts";
import type { Logger } from "../telemetry/logger.ts";
import { collectionName } from "./documents.ts";
import type { Collection, DocumentsServer } from "./documents.ts";
import { MongoConnection } from "./mongodb-connection.ts";

export interface MongoDocumentsOptions {
  /** `mongodb://` or `mongodb+srv://`, with user, password, database and TLS in it. */
  readonly url: string;
  /** Authorities that may have signed the certificates of servers with TLS, in PEM; those that Node.js trusts without them. */
  readonly ca?: string;
  /** Instead of the address's, whose own default is "test". */
  readonly database?: string;
  /** What the names of all collections begin with; "kontor" by default. */
  readonly prefix?: string;
  readonly log: Logger;
  /** How long a reply may take, in ms; 2,000 by default. Longer outlasts short stalls, shorter frees callers sooner. */
  readonly timeoutMs?: number;
}

interface Stored {
  readonly _id: string;
  readonly version: number;
  readonly body: unknown;
  readonly expiresAt?: Date;
  readonly removedAt?: Date;
}

const duplicateKey = 11_000;
const dayMs = 24 * 3_600_000;
const sweptAtOnce = 500;

/**
 * Documents in MongoDB, a collection each, written with the version in the filter: no session and no transaction is needed. A confirmed write
 * has been journaled by a majority. Each operation is one round trip; a refused `put` and a `sweep` may take more.
 */
export function createMongoDocuments({ url, ca, database, prefix = "kontor", log, timeoutMs }: MongoDocumentsOptions): DocumentsServer {
  collectionName(prefix);
  const mongo = new MongoConnection({
    url,
    ca,
    log,
    ...(database !== undefined && { database }),
    ...(timeoutMs !== undefined && { timeoutMs }),
  });
  return {
    collection: (name) => createCollection(mongo, `${prefix}_${collectionName(name)}`, log),
    start: () => mongo.start(),
    stop: () => mongo.stop(),
    ready: () => mongo.ready,
  };
}

function createCollection<Body extends object>(mongo: MongoConnection, name: string, log: Logger): Collection<Body> {
  const run = <T>(work: Parameters<typeof mongo.run<Stored, T>>[1]) => mongo.run<Stored, T>(name, work);
  let indexes: Promise<void> | undefined;

  /** They only make sweeping fast: a document may be written without them. */
  const makeIndexes = () =>
    run(async (stored) => {
      await stored.createIndex({ expiresAt: 1 }, { sparse: true }, {});
      await stored.createIndex({ removedAt: 1 }, { expireAfterSeconds: 0 }, {});
    }).catch((error: unknown) => {
      // The server is unreachable, which the connection logs: the next write tries again.
      if (refusalIn(error) !== undefined) indexes = undefined;
      else log.warn({ collection: name, error }, "MongoDB does not allow the indexes of documents that expire: sweeping them is slow");
    });

  return {
    async get(id, now) {
      const found = await run((stored) => stored.findOne({ _id: id }, { projection: { _id: 0, removedAt: 0 } }));
      if (found === null || (found.expiresAt !== undefined && found.expiresAt <= now)) return undefined;
      return { id, version: found.version, body: found.body as Body, expiresAt: found.expiresAt };
    },

    async put(id, body, { expectedVersion, expiresAt, startsAt = 1 }) {
      if (expiresAt !== undefined) await (indexes ??= makeIndexes());
      const version = expectedVersion === 0 ? startsAt : expectedVersion + 1;
      // BSON knows more than JSON: a Date or an undefined would be read as what the other stores do not return.
      const document = { version, body: JSON.parse(JSON.stringify(body)) as unknown, ...expiry(expiresAt) };
      if (expectedVersion === 0) {
        if (await run((stored) => inserted(stored.insertOne({ _id: id, ...document })))) return version;
      } else {
        const { matchedCount } = await run((stored) => stored.replaceOne({ _id: id, version: expectedVersion }, document));
        if (matchedCount === 1) return version;
      }
      const current = await run((stored) => stored.findOne({ _id: id }, { projection: { _id: 0, version: 1 } }));
      throw refuse({ reason: "VERSION_CONFLICT", code: "aborted", details: { version: current?.version ?? 0 } });
    },

    async delete(...ids) {
      await run((stored) => stored.deleteMany({ _id: { $in: ids } }));
    },

    async sweep(now) {
      const due = { expiresAt: { $lte: now } };
      for (let swept = 0; ;) {
        const found = await run((stored) => stored.find(due, { projection: { _id: 1 }, limit: sweptAtOnce }).toArray());
        if (found.length === 0) return swept;
        // The expiry is checked again, because a document may have been prolonged meanwhile.
        const { deletedCount } = await run((stored) => stored.deleteMany({ ...due, _id: { $in: found.map(({ _id }) => _id) } }));
        swept += deletedCount;
        if (found.length < sweptAtOnce) return swept;
      }
    },
  };
}

/**
 * `removedAt` is only so that nothing stays for ever where nothing is swept: the server's clock does not decide what has expired. The caller's
 * may be behind.
 */
function expiry(expiresAt: Date | undefined): Pick<Stored, "expiresAt" | "removedAt"> {
  if (expiresAt === undefined) return {};
  return { expiresAt, removedAt: new Date(Math.max(expiresAt.getTime(), systemClock.now().getTime()) + dayMs) };
}

async function inserted(inserting: Promise<unknown>): Promise<boolean> {
  try {
    await inserting;
    return true;
  } catch (error) {
    if (error instanceof MongoServerError && error.code === duplicateKey) return false;
    throw error;
  }
}
