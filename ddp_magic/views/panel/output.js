// The output of one rank, or of all of them: a log that follows its end until somebody scrolls up.

function createPane(rank, heading) {
  const node = element("div", "ddp-pane");
  if (heading) node.append(element("div", "ddp-heading", heading));
  const log = element("div", "ddp-log");
  const body = element("div", "ddp-body");
  const live = element("div", "ddp-live");
  log.role = "log";
  log.ariaLive = "off"; // a reader would never end
  log.ariaLabel = rank === ALL ? "Output of all ranks" : `Output of rank ${rank}`;
  log.tabIndex = 0;
  log.append(body, live);
  const settle = () => {
    if (pane.follow) log.scrollTop = log.scrollHeight;
  };
  const back = button("ddp-follow", "↓ newest", "Follow the output again", () => {
    pane.follow = true;
    back.hidden = true;
    settle();
  });
  back.hidden = true;
  node.append(log, back);
  let pushed = 0;
  let liveDrawn = null;
  const pane = { rank, node, log, follow: true };
  log.addEventListener("scroll", () => {
    pane.follow = log.scrollHeight - log.scrollTop - log.clientHeight < 24;
    back.hidden = pane.follow;
  });

  new ResizeObserver(settle).observe(log); // first drawn before it is on the page; another width

  const liveNode = (item) => (item.line === undefined ? lineNode(item) : lineNode(item.line, item.r));
  pane.draw = (state) => {
    const fresh = Math.min(state.pushed - pushed, state.entries.length);
    if (!fresh && state.live === liveDrawn) return;
    if (fresh) {
      const nodes = document.createDocumentFragment();
      for (const entry of state.entries.slice(-fresh)) nodes.append(entryNode(entry, rank === ALL));
      if (fresh === state.entries.length) body.replaceChildren();
      body.append(nodes);
      while (body.childElementCount > KEEP) body.firstChild.remove();
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
    for (const pane of panes()) pane.log.querySelector(".ddp-hit-now")?.classList.remove("ddp-hit-now");
    hits[current].classList.add("ddp-hit-now");
    hits[current].scrollIntoView({ block: "nearest" });
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
