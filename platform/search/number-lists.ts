const roomMin = 1024;

/** A list of numbers for each slot, all in one typed array: a hundred thousand lists are nothing to the garbage collector. */
export class NumberLists {
  #numbers = new Float64Array(roomMin);
  #used = 0;
  #starts = new Uint32Array(roomMin);
  #lengths = new Uint32Array(roomMin);

  set(slot: number, list: readonly number[]): void {
    if (slot >= this.#lengths.length) {
      this.#starts = grown(this.#starts, slot * 2);
      this.#lengths = grown(this.#lengths, slot * 2);
    }
    if (list.length > this.#lengths[slot]!) {
      this.#lengths[slot] = 0;
      if (this.#used + list.length > this.#numbers.length) this.#makeRoom(list.length);
      this.#starts[slot] = this.#used;
      this.#used += list.length;
    }
    this.#lengths[slot] = list.length;
    this.#numbers.set(list, this.#starts[slot]);
  }

  /** The first number of a slot's list; undefined when it is empty. */
  first(slot: number): number | undefined {
    return (this.#lengths[slot] ?? 0) === 0 ? undefined : this.#numbers[this.#starts[slot]!];
  }

  /** Of these slots, those with a number that is wanted. */
  withAny(slots: Uint32Array, wanted: (number: number) => boolean): Uint32Array {
    const [numbers, starts, lengths] = [this.#numbers, this.#starts, this.#lengths];
    const found = new Uint32Array(slots.length);
    let count = 0;
    for (const slot of slots) {
      const end = slot < lengths.length ? starts[slot]! + lengths[slot]! : 0;
      for (let at = starts[slot]!; at < end; at++)
        if (wanted(numbers[at]!)) {
          found[count++] = slot;
          break;
        }
    }
    return found.subarray(0, count);
  }

  /** How often each number occurs in these slots' lists, by number; all are below `end`. */
  counts(slots: Uint32Array, end: number): Uint32Array {
    const [numbers, starts, lengths] = [this.#numbers, this.#starts, this.#lengths];
    const counts = new Uint32Array(end);
    for (const slot of slots) {
      const last = slot < lengths.length ? starts[slot]! + lengths[slot]! : 0;
      for (let at = starts[slot]!; at < last; at++) counts[numbers[at]!]!++;
    }
    return counts;
  }

  /** Also regains what former lists have left behind. */
  #makeRoom(count: number): void {
    const live = this.#lengths.reduce((sum, length) => sum + length, 0);
    const numbers = new Float64Array(Math.max(roomMin, (live + count) * 2));
    this.#used = 0;
    for (const [slot, length] of this.#lengths.entries()) {
      const start = this.#starts[slot]!;
      numbers.set(this.#numbers.subarray(start, start + length), this.#used);
      this.#starts[slot] = this.#used;
      this.#used += length;
    }
    this.#numbers = numbers;
  }
}

function grown(array: Uint32Array<ArrayBuffer>, length: number): Uint32Array<ArrayBuffer> {
  const longer = new Uint32Array(length);
  longer.set(array);
  return longer;
}
