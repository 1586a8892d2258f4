import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { readCsv } from "./read-csv.ts";
import type { CsvRow } from "./read-csv.ts";

async function* pieces(text: string, length: number): AsyncGenerator<string> {
  for (let at = 0; at < text.length; at += length) yield text.slice(at, at + length);
}

async function rowsIn(text: string, length: number): Promise<CsvRow[]> {
  const rows: CsvRow[] = [];
  for await (const row of readCsv(pieces(text, length), ",")) rows.push(row);
  return rows;
}

/** What comes of a text, which must not depend on where it is cut. */
async function read(text: string): Promise<(readonly [number, string | readonly string[]])[]> {
  const whole = await rowsIn(text, 100_000);
  for (const length of [1, 2, 3, 7]) assert.deepEqual(await rowsIn(text, length), whole, `in pieces of ${length}`);
  return whole.map((row) => [row.line, "problem" in row ? row.problem : row.cells]);
}

describe("reading CSV", () => {
  it("takes quotes, doubled quotes, line breaks inside and any line ends, and gives the line on which each row begins", async () => {
    assert.deepEqual(await read('a,b\r\n"x\r\ny","say ""hi"""\r\n\r\n\r\n3,4\r\n5,'), [
      [1, ["a", "b"]],
      [2, ["x\r\ny", 'say "hi"']],
      [6, ["3", "4"]],
      [7, ["5", ""]],
    ]);
    assert.deepEqual(await read("a,b\r1,2\r3"), [
      [1, ["a", "b"]],
      [2, ["1", "2"]],
      [3, ["3"]],
    ]);
    assert.deepEqual(await read('a,b\n"",""""\n5" pipe,x\n'), [
      [1, ["a", "b"]],
      [2, ["", '"']],
      [3, ['5" pipe', "x"]],
    ]);
    assert.deepEqual(await read(""), []);
  });

  it("goes on with the next line after a quote that is not closed or not doubled, or a row that is too long", async () => {
    assert.deepEqual(await read('a,b\n1,"open\n3,4\n5,"q"\n7,8\n'), [
      [1, ["a", "b"]],
      [2, "has a quote inside of cell 2 that is not doubled"],
      [3, ["3", "4"]],
      [4, ["5", "q"]],
      [5, ["7", "8"]],
    ]);
    assert.deepEqual(await read('a,b\n1,"open\r\n3,4\r\n5,6'), [
      [1, ["a", "b"]],
      [2, "opens a quote that is not closed"],
      [3, ["3", "4"]],
      [4, ["5", "6"]],
    ]);
    assert.deepEqual(await read('a,b\n"5" pipe",1\n1,2,3\n1,2,,\n"x\ny",2\n'), [
      [1, ["a", "b"]],
      [2, "has a quote inside of cell 1 that is not doubled"],
      [3, "has 3 cells, the first row has 2"],
      [4, ["1", "2", "", ""]],
      [5, ["x\ny", "2"]],
    ]);
  });

  it("gives a quote up that stays open for longer than any row is, without keeping the file", async () => {
    async function* endless(): AsyncGenerator<string> {
      yield 'a,b\n1,"open\n';
      for (let line = 0; line < 60_000; line++) yield `${line},this row is one that is read after all\n`;
    }
    let rows = 0;
    const problems: number[] = [];
    for await (const row of readCsv(endless(), ","))
      if ("problem" in row) problems.push(row.line);
      else rows++;
    assert.deepEqual([problems, rows], [[2], 60_001]);
  });

  it("reads a broken line in time that is linear in its length, however small the chunks are", async () => {
    // In time that rose with the square of it this would take minutes.
    const rows = await rowsIn(`a,b\n"x"${"y".repeat(200_000)}\n1,2\n`, 1);
    assert.deepEqual(
      rows.map(({ line }) => line),
      [1, 2, 3],
    );
  });
});
