// Breaks in long work, in which the thread handles what waits: clicks, frames, messages that abort.

/** Messages are not throttled as timers are: those wait 4 ms, and in hidden pages a second. */
export class Breaks {
  #channel = new MessageChannel();
  #resume: () => void = () => undefined;

  constructor() {
    this.#channel.port1.onmessage = () => this.#resume();
  }

  take(): Promise<void> {
    return new Promise((resume) => {
      this.#resume = resume;
      this.#channel.port2.postMessage(0);
    });
  }

  /** Without it Node.js would wait for more messages. */
  close(): void {
    this.#channel.port1.close();
  }
}
