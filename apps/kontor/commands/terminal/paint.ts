import { styleText } from "node:util";
import type { Output } from "../command.ts";

type Style = Parameters<typeof styleText>[0];

/** The text in a colour on a terminal that shows colours, the bare text anywhere else. */
export function paint(output: Output, style: Style, text: string): string {
  return output.isTTY === true && (process.env["NO_COLOR"] ?? "") === "" ? styleText(style, text, { validateStream: false }) : text;
}

/** A text from outside without control characters, so that it cannot steer the terminal. */
export function plain(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, " ");
}
