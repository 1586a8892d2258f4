import { fork } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { fileURLToPath } from "node:url";
import { inherited } from "./environment.ts";

/** A process of the bench that executes commands and responds. */
export interface Child<Order> {
  readonly pid: number;
  readonly ready: unknown;
  tell<Answer>(order: Order): Promise<Answer>;
  /** Resolves when it has ended. */
  readonly ended: Promise<void>;
  kill(): void;
}

interface Message {
  readonly ready?: unknown;
  readonly answer?: unknown;
  readonly error?: string;
}

/** Such as --cpu-prof. What a test runner imports into its own process is not for others. */
const nodeOptions = process.execArgv.filter((word, at, all) => !word.startsWith("--import") && all[at - 1] !== "--import");

const running = new Set<ChildProcess>();
let interruption: Error | undefined;

/** Kills all children. What waits for one throws this error, and so does what starts another, so that everything that is open gets closed. */
export function interruptChildren(error: Error): void {
  interruption = error;
  for (const child of running) child.kill("SIGKILL");
}

/** Starts a file of this folder and waits until it is ready. Throws when it ends before. */
export async function startChild<Order extends object>(file: string, env: Readonly<Record<string, string>> = {}): Promise<Child<Order>> {
  if (interruption !== undefined) throw interruption;
  const child = fork(fileURLToPath(new URL(file, import.meta.url)), {
    env: { ...inherited(), ...env },
    stdio: ["ignore", "inherit", "inherit", "ipc"],
    execArgv: [...nodeOptions, "--max-semi-space-size=8", "--heap-growing-percent=100"], // as npm start has it
  });
  running.add(child);
  child.once("exit", () => running.delete(child));
  const { ready } = await next(child, file);
  return {
    pid: child.pid!,
    ready,
    tell: async <Answer>(order: Order) => {
      const answered = next(child, file);
      const notSent = new Promise<never>((_, reject) => {
        child.send(order, (error) => void (error === null || reject(interruption ?? error)));
      });
      const { answer, error } = await Promise.race([answered, notSent]);
      if (error !== undefined) throw new Error(`${file}: ${error}`);
      return answer as Answer;
    },
    ended: new Promise((resolve) => child.once("exit", () => resolve())),
    kill: () => void child.kill("SIGKILL"),
  };
}

function next(child: ChildProcess, file: string): Promise<Message> {
  return new Promise((resolve, reject) => {
    const ended = (code: number | null) => reject(interruption ?? new Error(`${file} ended with ${code}`));
    child.once("exit", ended);
    child.once("message", (message: Message) => {
      child.off("exit", ended);
      resolve(message);
    });
  });
}
