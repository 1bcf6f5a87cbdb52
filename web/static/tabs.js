// Tabs of rooms: one is in view; the others say how many messages in them nobody has read. A single
// room needs none.

import { count, plural } from "./format.js";

export class Tabs {
  #list;
  #tabs = new Map(); // name → {box, tab, unread}
  #selected = "";
  #onSelect;
  #onClose;
  #onAlone;

  // list is the element with the role; onSelect and onClose get a name; onAlone is called when the
  // tab that had the focus is closed and the one beside it needs none.
  constructor({ list, onSelect, onClose, onAlone }) {
    this.#list = list;
    this.#onSelect = onSelect;
    this.#onClose = onClose;
    this.#onAlone = onAlone;
    list.addEventListener("keydown", (event) => this.#key(event));
  }

  // add appends a tab, whose panel has the id.
  add(name, panelId) {
    const box = element("div", "tab");
    box.setAttribute("role", "presentation");
    const tab = element("button", "");
    tab.type = "button";
    tab.id = `${panelId}-tab`;
    tab.setAttribute("role", "tab");
    tab.setAttribute("aria-controls", panelId);
    const unread = element("span", "unread");
    tab.append(element("bdi", "", name), unread);
    tab.addEventListener("click", () => this.#onSelect(name));
    const close = element("button", "close", "×");
    close.type = "button";
    close.setAttribute("aria-label", `Leave the room ${name}`);
    close.addEventListener("click", () => this.#close(name));
    box.append(tab, close);
    this.#list.append(box);
    this.#tabs.set(name, { box, tab, unread });
    this.#list.hidden = this.#tabs.size < 2;
  }

  // remove takes a tab away, and returns the name of the one beside it.
  remove(name) {
    const names = [...this.#tabs.keys()];
    const place = names.indexOf(name);
    this.#tabs.get(name).box.remove();
    this.#tabs.delete(name);
    this.#list.hidden = this.#tabs.size < 2;
    return names[place + 1] ?? names[place - 1];
  }

  select(name) {
    this.#selected = name;
    for (const [other, { box, tab }] of this.#tabs) {
      box.toggleAttribute("data-selected", other === name);
      tab.setAttribute("aria-selected", other === name);
      tab.tabIndex = other === name ? 0 : -1;
    }
    this.#tabs.get(name).box.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  // unread shows how many messages wait in a room.
  unread(name, n) {
    const { tab, unread } = this.#tabs.get(name);
    const text = n ? count(n) : "";
    if (unread.textContent === text) return; // It would cause a layout.
    unread.textContent = text;
    if (n) tab.setAttribute("aria-label", `${name}, ${plural(n, "message", "messages")} not read`);
    else tab.removeAttribute("aria-label");
  }

  #key(event) {
    const names = [...this.#tabs.keys()];
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step) this.#go(names.at((names.indexOf(this.#selected) + step) % names.length));
    else if (event.key === "Delete" && names.length > 1) this.#close(this.#selected);
  }

  // The focus goes to the tab in view, and not to the page's beginning.
  #close(name) {
    this.#onClose(name);
    if (this.#list.hidden) this.#onAlone();
    else this.#tabs.get(this.#selected).tab.focus();
  }

  #go(name) {
    this.#onSelect(name);
    this.#tabs.get(name).tab.focus();
  }
}

function element(name, className, text = "") {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}
