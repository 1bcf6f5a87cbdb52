// Commands to the gateway and their answers, which have the command's number, and what comes
// unasked. What comes is handled as it comes, by functions and not by promises: what follows an
// answer in the same message must find it done.

export class Commands {
  #send;
  #onPush;
  #id = 0;
  #asked = new Map(); // id → what takes the answer

  // send(text) returns whether the browser took the text; onPush gets what was not asked for.
  constructor({ send, onPush }) {
    this.#send = send;
    this.#onPush = onPush;
  }

  // ask sends a command. onReply is not called any more once the answers are forgotten.
  ask(command, onReply = () => {}) {
    const id = ++this.#id;
    this.#asked.set(id, onReply);
    if (this.#send(JSON.stringify({ id, ...command }))) return true;
    this.#asked.delete(id);
    return false;
  }

  // forget lets go of the answers that are awaited, because the connection is another one.
  forget() {
    this.#asked.clear();
  }

  // take handles a message of the gateway, which has an object on each of its lines, and returns
  // whether it is one.
  take(data) {
    let all;
    try {
      all = data.split("\n").filter(Boolean).map((line) => JSON.parse(line));
    } catch {
      return false;
    }
    for (const one of all) this.#takeOne(one);
    return true;
  }

  #takeOne({ id, push, ...reply }) {
    if (push) this.#onPush(push);
    else if (id === undefined) this.#send("{}"); // a ping
    else {
      const onReply = this.#asked.get(id);
      this.#asked.delete(id);
      onReply?.(reply);
    }
  }
}
