/** An event's columns, without its position in the log. */
export interface EventRow {
  readonly id: string;
  readonly stream: string;
  readonly version: number;
  readonly type: string;
  readonly data: Uint8Array;
  readonly actor: string;
  readonly trace: string;
  readonly correlation: string;
  readonly causation: string;
  readonly at: Date;
}
