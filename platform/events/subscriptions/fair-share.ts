/**
 * How many of a subscription's partitions a member should hold. The shares of all members add up to all partitions and differ by at most one.
 * `offset` differs by subscription, so that the odd partition does not always go to the same member.
 */
export function fairShare(partitions: number, members: readonly string[], owner: string, offset: number): number {
  const count = Math.max(1, members.length);
  const rank = Math.max(0, members.indexOf(owner));
  return Math.floor(partitions / count) + ((rank + offset) % count < partitions % count ? 1 : 0);
}
