import { describe } from "node:test";
import { dueTasks } from "./due-tasks.contract.ts";
import { failingTasks } from "./failing-tasks.contract.ts";
import { openTestTasks } from "./open-test-tasks.ts";
import type { TasksHarness } from "./open-test-tasks.ts";
import { taskProcesses } from "./task-processes.contract.ts";

/** The suite that every engine of tasks passes. */
export function tasksContract(name: string, open: () => Promise<TasksHarness>): void {
  describe(`tasks: ${name}`, () => {
    const setup = openTestTasks(open);
    dueTasks(setup);
    failingTasks(setup);
    taskProcesses(setup);
  });
}
