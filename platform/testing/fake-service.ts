import type { Service, ServiceContext, ServiceDefinition } from "../service/service.ts";

/** A service that stands in for another in a test: it has the name, a database and an event log, and whatever `createService` gives it. */
export function fakeService(name: string, createService: (context: ServiceContext) => Service = () => ({ routes: [] })): ServiceDefinition {
  return { name, summary: "stands in for a service in a test", contracts: [], load: async () => ({ createService }) };
}
