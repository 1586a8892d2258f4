/** How often each of many ids came, in eight bytes an id: two ids of a million are taken for one once in ten thousand times. */
export class IdCounts {
  #prints = new Float64Array(1_024);
  #length = 0;
  #sorted = true;

  add(id: string): void {
    if (this.#length === this.#prints.length) {
      const larger = new Float64Array(this.#length * 2);
      larger.set(this.#prints);
      this.#prints = larger;
    }
    this.#prints[this.#length++] = fingerprint(id);
    this.#sorted = false;
  }

  count(id: string): number {
    if (!this.#sorted) {
      this.#prints.subarray(0, this.#length).sort();
      this.#sorted = true;
    }
    const wanted = fingerprint(id);
    let low = 0;
    for (let high = this.#length; low < high;) {
      const middle = (low + high) >>> 1;
      if (this.#prints[middle]! < wanted) low = middle + 1;
      else high = middle;
    }
    let end = low;
    while (end < this.#length && this.#prints[end] === wanted) end++;
    return end - low;
  }
}

/** 53 bits, as many as a number holds exactly, from two multiplicative hashes of 32. */
function fingerprint(id: string): number {
  let a = 0x9e3779b9;
  let b = 0x85ebca6b;
  for (let at = 0; at < id.length; at++) {
    const code = id.charCodeAt(at);
    a = Math.imul(a ^ code, 0x85ebca77);
    b = Math.imul(b ^ code, 0xc2b2ae3d);
  }
  a = Math.imul(a ^ (a >>> 15), 0x735a2d97) ^ Math.imul(b ^ (b >>> 13), 0xcaf649a9);
  b = Math.imul(b ^ (b >>> 15), 0x735a2d97) ^ Math.imul(a ^ (a >>> 13), 0xcaf649a9);
  return (b >>> 11) * 2 ** 32 + (a >>> 0);
}
