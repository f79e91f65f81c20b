// The output of one rank, or of all of them: a log that follows its end until somebody scrolls up.

// Lines stand in chunks, so that a page lays out anew what has come and not all that it shows. The
// newest are always drawn: where the end is must not be an estimate.
const CHUNK = 100;
const NEWEST = 2;

function createLines() {
  const node = element("div", "ddp-body");
  let count = 0;
  const add = (line) => {
    if (!node.lastChild || node.lastChild.childElementCount >= CHUNK) node.append(element("div", "ddp-chunk"));
    node.lastChild.append(line);
    count += 1;
  };
  const trim = () => {
    for (; count > KEEP; count -= 1) {
      node.firstChild.classList.remove("ddp-past"); // its height changes
      node.firstChild.firstChild.remove();
      if (!node.firstChild.firstChild) node.firstChild.remove();
    }
  };
  const settle = () => {
    for (let i = node.children.length - NEWEST - 1; i >= 0; i -= 1) {
      const chunk = node.children[i];
      if (chunk.classList.contains("ddp-past")) return;
      chunk.classList.add("ddp-past"); // it was drawn before: its height is known
    }
  };
  const clear = () => {
    node.replaceChildren();
    count = 0;
  };
  return { node, add, trim, settle, clear };
}

function createPane(rank, heading) {
  const node = element("div", "ddp-pane");
  if (heading) node.append(element("div", "ddp-heading", heading));
  const log = element("div", "ddp-log");
  const lines = createLines();
  const live = element("div", "ddp-live");
  log.role = "log";
  log.ariaLive = "off"; // a reader would never end
  log.ariaLabel = rank === ALL ? "Output of all ranks" : `Output of rank ${rank}`;
  log.tabIndex = 0;
  log.append(lines.node, live);
  const settle = () => {
    if (pane.follow) log.scrollTop = log.scrollHeight;
  };
  const back = button("ddp-follow", "↓ newest", "Follow the output again", () => {
    pane.setFollow(true);
    settle();
  });
  back.hidden = true;
  node.append(log, back);
  let pushed = 0;
  let liveDrawn = null;
  const pane = { rank, node, log, follow: true };
  pane.setFollow = (on) => {
    pane.follow = on;
    back.hidden = on;
    log.classList.toggle("ddp-still", !on); // who reads keeps the place while old lines go
  };
  log.addEventListener("scroll", () => pane.setFollow(log.scrollHeight - log.scrollTop - log.clientHeight < 24));

  new ResizeObserver(settle).observe(log); // first drawn before it is on the page; another width

  const liveNode = (item) => (item.line === undefined ? lineNode(item) : lineNode(item.line, item.r));
  pane.draw = (state) => {
    const fresh = Math.min(state.pushed - pushed, state.entries.length);
    if (!fresh && state.live === liveDrawn) return;
    if (fresh) {
      lines.settle();
      if (fresh === state.entries.length) lines.clear();
      for (const entry of state.entries.slice(-fresh)) lines.add(entryNode(entry, rank === ALL));
      lines.trim();
      pushed = state.pushed;
    }
    if (state.live !== liveDrawn) live.replaceChildren(...state.live.map(liveNode));
    liveDrawn = state.live;
    settle();
  };
  return pane;
}

function shownText(state, labelled) {
  const live = state.live.map((item) => (item.line === undefined ? { line: item } : item));
  const line = (entry) => (labelled ? `[${entry.r}] ` : "") + plainText(entry.line ?? gapText(entry));
  return [...state.entries, ...live].map(line).join("\n") + "\n";
}

// ---- find ----

function createFind(panes) {
  const node = element("span", "ddp-find");
  const input = element("input", "ddp-find-text");
  input.type = "search";
  input.placeholder = "find";
  input.ariaLabel = "Find in the output";
  const count = element("span", "ddp-find-count");
  count.role = "status";
  const say = (text) => {
    if (count.textContent !== text) count.textContent = text; // else it is read out again
  };
  node.append(input, count);
  let hits = [];
  let current = -1;

  const mark = () => {
    const wanted = input.value.toLowerCase();
    const before = hits[current];
    hits = [];
    for (const pane of panes()) {
      for (const line of pane.log.querySelectorAll(".ddp-line")) {
        const hit = Boolean(wanted) && line.textContent.toLowerCase().includes(wanted);
        line.classList.toggle("ddp-hit", hit);
        if (hit) hits.push(line);
      }
    }
    current = hits.indexOf(before);
    say(wanted ? (current < 0 ? "" : `${current + 1} of `) + plural(hits.length, "line") : "");
  };
  const go = (step) => {
    mark();
    if (!hits.length) return;
    const from = current < 0 && step < 0 ? 0 : current;
    current = (from + step + hits.length) % hits.length;
    for (const pane of panes()) {
      pane.log.querySelector(".ddp-hit-now")?.classList.remove("ddp-hit-now");
      if (pane.log.contains(hits[current])) pane.setFollow(false); // now: a line may come before the scroll event
    }
    hits[current].classList.add("ddp-hit-now");
    const reveal = () => hits[current]?.scrollIntoView({ block: "nearest" });
    reveal();
    requestAnimationFrame(reveal); // lines above may be higher than they were in a panel of another width
    mark();
  };
  input.addEventListener("input", () => {
    current = -1;
    mark();
  });
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter") go(event.shiftKey ? -1 : 1);
    else if (event.key === "Escape") {
      input.value = "";
      mark();
    }
  });
  return { node, say, mark, redraw: () => input.value && mark() };
}

// ---- copy and download ----

function save(name, parts) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(parts, { type: "text/plain" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

function createTools(model, store, selected, panes, say) {
  const node = element("div", "ddp-tools");
  const find = createFind(panes);
  const text = () => selected().map((r) => shownText(outputOf(store, r), r === ALL)).join("\n");
  const copy = async () => {
    const done = await navigator.clipboard?.writeText(text()).then(() => true, () => false);
    if (done) find.say("copied");
    else say("This page may not use the clipboard: select the text and press Ctrl+C.");
    setTimeout(find.mark, 3000);
  };
  // the whole log comes from the kernel where that answers while the cell runs; else what is here
  const download = () => {
    const rank = selected()[0];
    const name = `${store.facts.run ?? "run"}-${rank === ALL ? "all" : `rank${rank}`}.log`;
    const parts = [];
    const here = setTimeout(() => {
      store.listeners.delete(heard);
      save(name, [text()]);
      say(`Saved the lines that are shown; the whole log is in ${store.facts.logs}`);
    }, rank === ALL ? 0 : 3000);
    const heard = (message, buffers) => {
      if (message.log !== rank) return;
      clearTimeout(here);
      parts.push(...buffers);
      if (!message.last) return;
      store.listeners.delete(heard);
      save(name, parts.length ? parts : [text()]);
    };
    if (rank !== ALL) {
      store.listeners.add(heard);
      ask(model, { t: "log", r: rank });
    }
  };
  const whole = button("ddp-quiet", "download", "", download);
  node.append(find.node, button("ddp-quiet", "copy", "Copy the lines that are shown", copy), whole);
  const draw = () => {
    whole.title = `Download the log; it is in ${store.facts.logs}`;
    find.redraw();
  };
  return { node, draw };
}
