// How one line of the log looks. Only textContent is set: what strangers send is text and stays
// text. No line can keep the next from being drawn.

export function draw(entry) {
  try {
    return entry.kind === "notice" ? noticeItem(entry) : messageItem(entry);
  } catch (error) {
    console.error(error);
    return noticeItem({ text: "A message that this page cannot show.", at: entry.at });
  }
}

// drawStatus shows how the delivery of a message of this page stands, if the message is drawn.
export function drawStatus({ node, status, state, resend }) {
  const place = node?.querySelector(".delivery");
  if (!place) return;
  node.dataset.delivery = state;
  place.textContent = status;
  if (state !== "failed") return;
  const again = element("button", "again", "Send again");
  again.type = "button";
  again.addEventListener("click", resend);
  place.append(again);
}

// drawNotice shows the text of a notice that has changed, if the notice is drawn.
export function drawNotice({ node, text }) {
  if (node) node.lastChild.textContent = text;
}

function noticeItem({ text, at }) {
  const item = element("li", "notice");
  item.append(clock(at), element("span", "", text));
  return item;
}

function messageItem(entry) {
  const item = element("li", "msg");
  item.dataset.kind = entry.kind;
  const head = element("div", "head");
  // bdi keeps a right-to-left name from turning the rest of the line around.
  head.append(element("bdi", "who", entry.who));
  if (entry.own) {
    item.dataset.own = "";
    head.append(element("span", "you", "you"));
  }
  const time = clock(entry.at);
  if (entry.sentAt) time.title = `Sent ${entry.sentAt.toLocaleTimeString()} by the sender's clock`;
  head.append(time);
  const text = element("p", "text", entry.text);
  text.dir = "auto";
  item.append(head, text);
  if (entry.status) {
    head.append(element("span", "delivery"));
    drawStatus({ ...entry, node: item });
  }
  return item;
}

function clock(at) {
  const time = element("time", "", at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" }));
  time.dateTime = at.toISOString();
  return time;
}

function element(name, className, text = "") {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}
