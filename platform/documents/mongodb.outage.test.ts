import { randomUUID } from "node:crypto";
import { MongoClient } from "mongodb";
import { engineAddress } from "../testing/engines.ts";
import { documentsOutage } from "./documents-outage.contract.ts";
import { createMongoDocuments } from "./mongodb.ts";

const database = `test_${randomUUID()}`;

documentsOutage("mongodb", {
  process: "mongodb",
  open: (log) => createMongoDocuments({ url: engineAddress("ENGINE_MONGODB"), database, log, timeoutMs: 500 }),
  clean: async () => {
    const client = await new MongoClient(engineAddress("ENGINE_MONGODB")).connect();
    await client.db(database).dropDatabase();
    await client.close();
  },
});
