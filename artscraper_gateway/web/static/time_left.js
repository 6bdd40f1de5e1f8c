/** Estimate how long work takes that reports its progress. */
const MIN_ELAPSED_S = 1.5;
const MIN_PROGRESS = 0.03;

export class TimeLeft {
  constructor(now = () => performance.now() / 1000) {
    this.now = now;
    this.start = null;
  }

  /** Return the seconds left when `done` of `total` is finished, or null if unknown yet. */
  update(done, total) {
    this.start ??= { time: this.now(), done };
    const elapsed = this.now() - this.start.time;
    const gained = done - this.start.done;
    if (elapsed < MIN_ELAPSED_S || gained < MIN_PROGRESS * total) return null;
    return ((total - done) / gained) * elapsed;
  }
}
