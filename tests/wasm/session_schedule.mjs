// Calls in random order, many under way at once; whatever came before, the same prompt and seed give the same text.
import { Session } from "/edge-sparse/index.js";

const TEXT = "/text.egs";
const ASKED = { maxTokens: 20, temperature: 1, seed: 5 };
const ENDLESS = { temperature: 1, seed: 5, roll: true, maxTokens: 300 };
const OPTIONS = { kvCache: "float32" };

class Schedule {
  #state;
  #options;
  #session;
  #whole = "";
  #pending = [];
  problems = [];

  constructor(options, seed) {
    this.#options = { ...OPTIONS, ...options };
    this.#state = seed;
  }

  #random(count) {
    this.#state = (Math.imul(this.#state, 1664525) + 1013904223) >>> 0;
    return Math.floor((this.#state / 2 ** 32) * count);
  }

  /** Note what does not come out as it should; typed errors are right where nothing else is expected. */
  #watch(what, promise, isRight) {
    const note = (value) => isRight(value) || this.problems.push(`${what}: ${JSON.stringify(value)}`);
    const typed = ({ name, code }) => /^(EdgeSparse|Abort)Error$/.test(name) && !/^(WASM|WORKER)_FAILED$/.test(code);
    this.#pending.push(promise.then(note, (error) => typed(error) || this.problems.push(`${what}: ${error.stack}`)));
  }

  #calls() {
    const session = this.#session;
    const never = () => false;
    const always = () => true;
    const stopped = session.generate.bind(session, "Twice");
    return {
      whole: () => this.#watch("whole", session.generate("Once", ASKED).text(), (text) => text === this.#whole),
      unread: () => this.#watch("unread", session.generate("Once", ASKED).result, ({ finish }) => finish !== "cancelled"),
      broken: () => this.#watch("broken", this.#broken(session.generate("Once", ASKED)), ({ finish }) => finish !== "stop"),
      stopped: () => this.#watch("stopped", this.#stopped(stopped(ENDLESS)), always),
      aborted: () => this.#watch("aborted", stopped({ ...ENDLESS, signal: AbortSignal.timeout(this.#random(10)) }).text(), always),
      full: () => this.#watch("full", session.generate("x".repeat(40), { ...ASKED, maxTokens: 30 }).text(), never),
      encode: () => this.#watch("encode", session.encode("hello"), ({ length }) => length === 6),
      bad: () => this.#watch("bad", session.generate("x", { temperature: -1 }).text(), never),
      reset: () => this.#watch("reset", session.reset(), always),
      read: () => this.#watch("read", session.read(Int32Array.of(1, 2, 3)), ({ length }) => length === 256),
      rewind: () => this.#watch("rewind", session.rewind(this.#random(8)), always),
      run: () => this.#watch("run", session.run({ ids: Int32Array.of(1, 2), position: Int32Array.of(0) }), always),
      attention: () => this.#watch("attention", session.setAttention(OPTIONS), always),
      badAttention: () => this.#watch("badAttention", session.setAttention({ context: 1e9 }), never),
      profile: () => this.#watch("profile", session.profile(), always),
      settle: () => Promise.all(this.#pending.splice(0)),
      again: () => this.#again(),
    };
  }

  async #broken(generation) {
    for await (const _ of generation) break;
    return generation.result;
  }

  async #stopped(generation) {
    setTimeout(() => generation.stop(), this.#random(10));
    return generation.result;
  }

  async #again() {
    this.#session?.dispose();
    this.#session = await Session.create(TEXT, this.#options);
  }

  async run(steps) {
    await this.#again();
    this.#whole = await this.#session.generate("Once", ASKED).text();
    for (let step = 0; step < steps; step++) {
      const calls = Object.values(this.#calls());
      await calls[this.#random(calls.length)]();
      if (this.#random(3) === 0) await new Promise((done) => setTimeout(done, this.#random(4)));
    }
    const late = new Promise((done) => setTimeout(done, 30_000, "late"));
    if ((await Promise.race([Promise.all(this.#pending), late])) === "late") this.problems.push("calls never end");
    this.#session.dispose();
  }
}

/** Returns what went wrong. */
export async function schedule(options, seed, steps) {
  const unhandled = [];
  addEventListener("unhandledrejection", ({ reason }) => unhandled.push(String(reason?.stack)));
  const made = new Schedule(options, seed);
  await made.run(steps);
  return [...made.problems, ...unhandled];
}
