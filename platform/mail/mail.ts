export interface Mail {
  /** The task's id: the same mail sent twice has the same one. */
  readonly id: string;
  readonly from: string;
  readonly to: string;
  readonly subject: string;
  readonly text: string;
  readonly html: string;
}

export interface Mailer {
  /** Resolves when the server has accepted it; throws otherwise (then it may or may not have). */
  send(mail: Mail): Promise<void>;
}
