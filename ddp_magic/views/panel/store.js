// What the page knows of a run, shared by all views of it.

const KEEP = 2000; // lines of a rank
const SAMPLES = 120;
const ALL = -1; // the tab of all ranks
const ACK_PERIOD = 1000;

const stores = new Map(); // by run: initialize and render get different model objects

function createStore(model) {
  const store = {
    facts: {}, pulse: {}, stacks: "", ranks: new Map(), all: null, curves: new Map(), ghosts: new Map(),
    samples: [], views: new Set(), listeners: new Set(), zero: 0, stopHeard: false, answered: false,
    lost: false,
  };
  let seen = 0;
  let ackAt = 0;
  let ackTimer = 0;
  let helloTimer = 0;
  let helloWait = 500;

  const ack = () => {
    ackTimer = 0;
    ackAt = performance.now();
    ask(model, { t: "ack", n: seen });
  };
  // A kernel that hears only the comm, and that after the cell, has acks queue up behind the cell:
  // so none follow what it has not answered.
  const hello = () => {
    if (store.answered || store.facts.final) return;
    ask(model, { t: "hello" });
    helloWait = Math.min(2 * helloWait, 60_000);
    helloTimer = setTimeout(hello, helloWait);
  };
  const heard = (message, buffers) => {
    if (message.answer) store.answered = true;
    if (message.stopping) store.stopHeard = true;
    if (message.n) {
      seen = message.n;
      if (store.answered && !ackTimer) {
        ackTimer = setTimeout(ack, Math.max(0, ackAt + ACK_PERIOD - performance.now()));
      }
    }
    for (const listener of [...store.listeners]) listener(message, buffers);
    take(store, message);
  };
  // a kernel that ends takes its runs along, and nobody tells the page of those
  const kernelIs = (_, status) => {
    if (store.facts.final || !["restarting", "autorestarting", "dead"].includes(status)) return;
    store.lost = true;
    const elapsed = (performance.now() - store.zero) / 1000;
    const reason = "The kernel has ended, and the run with it.";
    take(store, { facts: { ...store.facts, state: "failed", final: true, stalled: "", grace: null, reason, elapsed } });
  };
  const signal = model.widget_manager?.kernel?.statusChanged;
  signal?.connect(kernelIs);
  take(store, model.get("snapshot") ?? {});
  model.on("msg:custom", heard);
  hello();
  store.close = () => {
    clearTimeout(ackTimer);
    clearTimeout(helloTimer);
    model.off("msg:custom", heard);
    signal?.disconnect(kernelIs);
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
    const { grace } = message.facts;
    store.killAt = grace === null ? 0 : performance.now() + 1000 * grace;
  }
  if (message.pulse) takePulse(store, message.pulse);
  if (message.stacks !== undefined) store.stacks = message.stacks;
  for (const curve of message.ghosts ?? []) store.ghosts.set(curve.name, curve);
  for (const name of message.gone ?? []) store.curves.delete(name);
  for (const curve of message.curves ?? []) takeCurve(store.curves, curve);
  const before = store.all && new Map([...store.ranks].map(([r, rank]) => [r, rank.pushed]));
  for (const news of message.ranks ?? []) takeRank(store, news);
  if (before) merge(store, before);
  for (const schedule of store.views) schedule();
}

function takePulse(store, pulse) {
  store.pulse = { ...store.pulse, ...pulse };
  for (const sample of pulse.samples ?? []) {
    if (!store.samples.length || sample.t > store.samples.at(-1).t) store.samples.push(sample);
  }
  store.samples.splice(0, Math.max(0, store.samples.length - SAMPLES));
}

function takeCurve(curves, news) {
  const curve = curves.get(news.name) ?? { x: [], y: [] };
  curve.x.splice(news.from, Infinity, ...news.x);
  curve.y.splice(news.from, Infinity, ...news.y);
  curves.set(news.name, { ...news, x: curve.x, y: curve.y });
}

// times come as pairs of a count and the seconds of so many lines
function takeRank(store, { r, end, lines, times, live }) {
  if (!store.ranks.has(r)) store.ranks.set(r, createRank());
  const rank = store.ranks.get(r);
  if (end < rank.end) return; // a snapshot that was made before what is here already
  const at = times.flatMap(([count, t]) => Array(count).fill(t));
  const start = end - lines.length;
  const known = Math.max(0, rank.end - start);
  const entries = lines.slice(known).map((line, i) => ({ r, line, t: at[known + i] }));
  if (start > rank.end) entries.unshift({ r, gap: start - rank.end, t: entries[0]?.t ?? 0 });
  push(rank, entries);
  rank.end = end;
  rank.live = live;
}

function createRank() {
  return { end: 0, read: 0, entries: [], pushed: 0, live: [] };
}

function push(list, entries) {
  list.entries.push(...entries);
  list.pushed += entries.length;
  list.entries.splice(0, Math.max(0, list.entries.length - KEEP));
}

// ---- all ranks as one ----

function merged(store) {
  if (!store.all) {
    store.all = createRank();
    merge(store, new Map());
  }
  return store.all;
}

function merge(store, before) {
  const fresh = [];
  for (const [r, rank] of store.ranks) {
    const count = Math.min(rank.pushed - (before.get(r) ?? 0), rank.entries.length);
    if (count) fresh.push(...rank.entries.slice(-count));
  }
  fresh.sort((a, b) => a.t - b.t || a.r - b.r); // stable: a rank's own order stays
  push(store.all, fresh);
  store.all.live = [...store.ranks].flatMap(([r, rank]) => rank.live.map((line) => ({ r, line })));
}

function outputOf(store, r) {
  return r === ALL ? merged(store) : (store.ranks.get(r) ?? createRank());
}
