import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { root } from "./sources.ts";
import type { Problem } from "./sources.ts";

const types = ["feat", "fix", "perf", "refactor", "docs", "test", "build", "ci", "chore", "style", "revert"];
const subjectLengthMax = 100;
const subjectPattern = new RegExp(`^(${types.join("|")})(\\([a-z0-9-]+(?:, ?[a-z0-9-]+)*\\))?!?: \\S.*[^.\\s]$`);

/** What is wrong with a commit's subject; undefined when nothing is. Merges are as git writes them. */
export function subjectProblem(subject: string): string | undefined {
  if (/^Merge (branch|pull request|remote-tracking branch|tag|commit|[0-9a-f]{40}) /.test(subject)) return undefined;
  if (!subjectPattern.test(subject)) return `must be like "feat(inventory): hold stock for an order", with one of ${types.join(", ")}`;
  return subject.length > subjectLengthMax ? `is longer than ${subjectLengthMax} characters` : undefined;
}

/** Commits of a clone's history, as deep as it goes, whose subjects are not conventional. Nothing where there is no history, as in an archive. */
export function commitProblems(folder: string = root): Problem[] {
  if (!existsSync(join(folder, ".git"))) return [];
  const log = execFileSync("git", ["-c", `safe.directory=${folder}`, "log", "--format=%h %s"], { cwd: folder, encoding: "utf8" });
  return log
    .split("\n")
    .filter((line) => line !== "")
    .flatMap((line) => {
      const [hash = "", subject = ""] = line.split(/ (.*)/s);
      const problem = subjectProblem(subject);
      return problem === undefined ? [] : [{ path: `commit ${hash}`, message: `"${subject}" ${problem}` }];
    });
}
