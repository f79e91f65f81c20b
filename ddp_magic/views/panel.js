// The live panel's page side, an anywidget module: draws what views/wire.py sends.
// Data becomes text nodes and nothing else; no markup is ever parsed here.

const KEEP = 2000; // lines of a rank
const ACK_PERIOD = 1000;
const STOP_PATIENCE = 1200;
const INVERSE = 16;
const EFFECTS = [[1, "bold"], [2, "dim"], [4, "italic"], [8, "underline"], [INVERSE, "inverse"], [32, "strike"]];
const STATES = new Set(["starting", "running", "stopping", "succeeded", "failed", "stopped"]);

const stores = new Map(); // by run: initialize and render get different model objects

function element(tag, name, text = "") {
  const node = document.createElement(tag);
  node.className = name;
  node.textContent = text;
  return node;
}

// ---- what is known of a run, shared by all views of it ----

function createStore(model) {
  const store = { facts: {}, ranks: new Map(), views: new Set(), zero: 0, stopHeard: false };
  let answered = false;
  let seen = 0;
  let ackAt = 0;
  let ackTimer = 0;
  let helloTimer = 0;
  let helloWait = 500;

  const ack = () => {
    ackTimer = 0;
    ackAt = performance.now();
    model.send({ t: "ack", n: seen });
  };
  // A kernel without subshells reads nothing while the cell runs: what it has not answered is not
  // followed by acks, which would only queue up behind the cell.
  const hello = () => {
    if (answered || store.facts.final) return;
    model.send({ t: "hello" });
    helloWait = Math.min(2 * helloWait, 60_000);
    helloTimer = setTimeout(hello, helloWait);
  };
  const heard = (message) => {
    if (message.answer) answered = true;
    if (message.stopping) store.stopHeard = true;
    if (message.n) {
      seen = message.n;
      if (answered && !ackTimer) {
        ackTimer = setTimeout(ack, Math.max(0, ackAt + ACK_PERIOD - performance.now()));
      }
    }
    take(store, message);
  };
  take(store, model.get("snapshot") ?? {});
  model.on("msg:custom", heard);
  hello();
  store.close = () => {
    clearTimeout(ackTimer);
    clearTimeout(helloTimer);
    model.off("msg:custom", heard);
  };
  return store;
}

function storeOf(model) {
  const run = model.get("record_class");
  if (!stores.has(run)) stores.set(run, createStore(model));
  return stores.get(run);
}

function take(store, message) {
  if (message.facts) {
    store.facts = message.facts;
    store.zero = performance.now() - 1000 * message.facts.elapsed;
  }
  for (const news of message.ranks ?? []) takeRank(store, news);
  for (const schedule of store.views) schedule();
}

function takeRank(store, { r, end, lines, live }) {
  if (!store.ranks.has(r)) store.ranks.set(r, { end: 0, entries: [], pushed: 0, live: [] });
  const rank = store.ranks.get(r);
  if (end < rank.end) return; // a snapshot that was made before what is here already
  const start = end - lines.length;
  const entries = lines.slice(Math.max(0, rank.end - start)).map((line) => ({ line }));
  if (start > rank.end) entries.unshift({ gap: start - rank.end });
  rank.entries.push(...entries);
  rank.pushed += entries.length;
  rank.entries.splice(0, Math.max(0, rank.entries.length - KEEP));
  rank.end = end;
  rank.live = live;
}

// ---- lines ----

function colour(number) {
  if (number >= 256) return "#" + (number - 256).toString(16).padStart(6, "0");
  if (number >= 232) return `rgb(${Array(3).fill(8 + 10 * (number - 232)).join()})`;
  const cube = number - 16;
  const part = (n) => (n ? 55 + 40 * n : 0);
  return `rgb(${part(Math.floor(cube / 36))},${part(Math.floor(cube / 6) % 6)},${part(cube % 6)})`;
}

function pieceNode(piece) {
  if (typeof piece === "string") return document.createTextNode(piece);
  const [text, front, back, effects] = piece;
  const node = element("span", "", text);
  for (const [bit, name] of EFFECTS) if (effects & bit) node.classList.add(`ddp-${name}`);
  const [fg, bg] = effects & INVERSE ? [back, front] : [front, back];
  if (bg >= 0) node.classList.add("ddp-on");
  if (fg >= 0 && fg < 16) node.classList.add(`ddp-fg${fg}`);
  else if (fg >= 16) node.style.color = colour(fg);
  if (bg >= 0 && bg < 16) node.classList.add(`ddp-bg${bg}`);
  else if (bg >= 16) node.style.backgroundColor = colour(bg);
  return node;
}

function lineNode(line) {
  const node = element("div", "ddp-line");
  node.append(...(typeof line === "string" ? [line] : line.map(pieceNode)));
  return node;
}

function entryNode(entry) {
  if (entry.line !== undefined) return lineNode(entry.line);
  const count = entry.gap.toLocaleString("en");
  return element("div", "ddp-gap", `… ${count} line${entry.gap === 1 ? "" : "s"} not shown here, see the log`);
}

// ---- the output of one rank ----

function createPane(rank, heading) {
  const node = element("div", "ddp-pane");
  if (heading) node.append(element("div", "ddp-heading", heading));
  const log = element("div", "ddp-log");
  const body = element("div", "ddp-body");
  const live = element("div", "ddp-live");
  log.setAttribute("role", "log");
  log.setAttribute("aria-live", "off"); // a reader would never end
  log.setAttribute("aria-label", `Output of rank ${rank}`);
  log.tabIndex = 0;
  log.append(body, live);
  node.append(log);
  let pushed = 0;
  let follow = true;
  let liveDrawn = null;
  log.addEventListener("scroll", () => {
    follow = log.scrollHeight - log.scrollTop - log.clientHeight < 24;
  });

  const draw = (state) => {
    const fresh = Math.min(state.pushed - pushed, state.entries.length);
    if (!fresh && state.live === liveDrawn) return;
    if (fresh) {
      const nodes = document.createDocumentFragment();
      for (const entry of state.entries.slice(-fresh)) nodes.append(entryNode(entry));
      if (fresh === state.entries.length) body.replaceChildren();
      body.append(nodes);
      while (body.childElementCount > KEEP) body.firstChild.remove();
      pushed = state.pushed;
    }
    if (state.live !== liveDrawn) live.replaceChildren(...state.live.map(lineNode));
    liveDrawn = state.live;
    if (follow) log.scrollTop = log.scrollHeight;
  };
  return { rank, node, draw };
}

// ---- Stop ----

function createStop(model, store, say) {
  const button = element("button", "ddp-stop", "Stop");
  button.type = "button";
  let quietUntil = 0; // a double click on Stop must not be Stop and Kill

  const unheard = (kill) => {
    const settled = store.facts.final || store.stopHeard || (!kill && store.facts.state === "stopping");
    if (settled) return;
    const kernel = model.widget_manager?.kernel;
    if (typeof kernel?.interrupt === "function") {
      say("Interrupting the kernel …");
      Promise.resolve(kernel.interrupt()).catch(() => say("The kernel could not be interrupted."));
    } else {
      say("This page cannot reach the busy kernel: press the notebook's interrupt button (■).");
    }
  };
  button.addEventListener("click", () => {
    if (performance.now() < quietUntil) return;
    quietUntil = performance.now() + 1500;
    const kill = store.facts.state === "stopping";
    store.stopHeard = false;
    say(kill ? "Killing …" : "Stopping …");
    model.send({ t: "stop", kill });
    setTimeout(unheard, STOP_PATIENCE, kill);
  });
  const draw = ({ state, final }) => {
    const kill = state === "stopping";
    button.hidden = Boolean(final);
    button.textContent = kill ? "Kill" : "Stop";
    button.classList.toggle("ddp-kill", kill);
    button.title = kill
      ? "Kill all workers now; unsaved work is lost"
      : "Send every worker a KeyboardInterrupt; press again to kill";
  };
  return { button, draw };
}

// ---- the panel ----

function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (n) => String(n).padStart(2, "0");
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor(whole / 60) % 60;
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

function createTabs(store, select) {
  const node = element("div", "ddp-tabs");
  node.setAttribute("role", "tablist");
  node.setAttribute("aria-label", "Ranks");
  node.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const next = step && [...node.children].at(([...node.children].indexOf(event.target) + step) % node.childElementCount);
    if (next) {
      next.focus();
      next.click();
    }
  });
  const draw = (selected) => {
    const devices = store.facts.devices ?? [];
    node.hidden = devices.length < 2;
    while (node.childElementCount < devices.length) {
      const rank = node.childElementCount;
      const tab = element("button", "ddp-tab", `rank ${rank}`);
      tab.type = "button";
      tab.title = devices[rank];
      tab.setAttribute("role", "tab");
      tab.addEventListener("click", () => select(rank));
      node.append(tab);
    }
    [...node.children].forEach((tab, rank) => {
      const on = selected.includes(rank);
      tab.setAttribute("aria-selected", String(on));
      tab.tabIndex = rank === selected[0] ? 0 : -1;
    });
  };
  return { node, draw };
}

function setText(node, text) {
  node.hidden = !text;
  if (node.textContent !== text) node.textContent = text;
}

function createHeader(stop) {
  const node = element("div", "ddp-header");
  const state = element("span", "ddp-state");
  state.setAttribute("role", "status"); // read out when it changes
  const elapsed = element("span", "ddp-elapsed");
  const where = element("span", "ddp-where");
  node.append(state, elapsed, where, stop);
  const draw = (facts) => {
    const known = STATES.has(facts.state) ? facts.state : "starting";
    node.dataset.state = known;
    setText(state, known);
    setText(where, [facts.run, facts.label, facts.workers].filter(Boolean).join(" · "));
  };
  const tick = (seconds) => setText(elapsed, clock(seconds));
  return { node, draw, tick };
}

function createDetails() {
  const node = element("div", "ddp-details");
  let drawn = "";
  const draw = (facts) => {
    const items = [
      ...(facts.overrides ?? []).map((text) => ["ddp-override", text]),
      ["ddp-note", facts.note],
      ...(facts.notices ?? []).map(([text, warning]) => [warning ? "ddp-warning" : "ddp-notice", text]),
      ["ddp-summary", facts.summary],
    ].filter(([, text]) => text);
    if (drawn === JSON.stringify(items)) return; // keeps a selection
    drawn = JSON.stringify(items);
    node.replaceChildren(...items.map(([name, text]) => element("div", name, text)));
  };
  return { node, draw };
}

function hideRecord(model) {
  const name = model.get("record_class");
  const style = document.createElement("style");
  if (/^ddp-magic-[0-9a-f]+$/.test(name)) {
    // two rules: a browser without :has() drops the second alone
    const hidden = "{ display: none }";
    style.textContent = `.${name} ${hidden} .jp-OutputArea-child:has(.${name}) ${hidden}`;
  }
  return style;
}

function initialize({ model }) {
  const store = storeOf(model);
  return () => {
    store.close();
    stores.delete(model.get("record_class"));
  };
}

function render({ model, el }) {
  const store = storeOf(model);
  const panel = element("div", "ddp-magic");
  panel.setAttribute("role", "group");
  panel.setAttribute("aria-label", "%%ddp run");
  panel.dataset.lmSuppressShortcuts = "true"; // keys are for the panel, not for the notebook
  const reason = element("div", "ddp-reason");
  reason.setAttribute("role", "status");
  const stop = createStop(model, store, (text) => setText(reason, text));
  const header = createHeader(stop.button);
  const details = createDetails();
  const panes = element("div", "ddp-panes");
  let chosen = null;
  let drawn = [];
  let said = "";
  const tabs = createTabs(store, (rank) => {
    chosen = [rank];
    model.send({ t: "watch", r: rank });
    schedule();
  });
  panel.append(header.node, reason, details.node, tabs.node, panes);
  el.append(hideRecord(model), panel);

  const drawPanes = (selected) => {
    if (selected.join() !== drawn.map((pane) => pane.rank).join()) {
      drawn = selected.map((rank) => createPane(rank, selected.length > 1 ? `rank ${rank}` : ""));
      panes.replaceChildren(...drawn.map((pane) => pane.node));
    }
    for (const pane of drawn) pane.draw(store.ranks.get(pane.rank) ?? { entries: [], pushed: 0, live: [] });
  };
  let frame = 0;
  const draw = () => {
    frame = 0;
    const { facts } = store;
    const selected = chosen ?? facts.shown ?? [0];
    header.draw(facts);
    stop.draw(facts);
    if (said !== facts.state + facts.reason) setText(reason, facts.reason ?? "");
    said = facts.state + facts.reason;
    details.draw(facts);
    tabs.draw(selected);
    drawPanes(selected);
    tick();
  };
  const tick = () => {
    const { final, elapsed } = store.facts;
    header.tick(final ? elapsed : (performance.now() - store.zero) / 1000);
  };
  const schedule = () => {
    frame = frame || requestAnimationFrame(draw);
  };
  store.views.add(schedule);
  draw();
  const timer = setInterval(tick, 1000);
  return () => {
    clearInterval(timer);
    cancelAnimationFrame(frame);
    store.views.delete(schedule);
  };
}

export default { initialize, render };
