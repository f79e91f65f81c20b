// The head of the panel: state, time, progress, who runs where, what each override went to.

const OVERRIDES = 8; // before "more"
const STATES = new Set(["starting", "running", "stopping", "succeeded", "failed", "stopped"]);

function createHeader(store, controls) {
  const node = element("div", "ddp-header");
  const state = element("span", "ddp-state");
  state.role = "status"; // read out when it changes
  const elapsed = element("span", "ddp-elapsed");
  const bar = element("progress", "ddp-progress");
  bar.max = 1;
  const label = element("span", "ddp-label");
  const left = element("span", "ddp-left");
  const key = element("span", "ddp-key");
  const now = element("div", "ddp-now");
  now.append(bar, label, left, key);
  node.append(state, elapsed, now, controls);
  let progressAt = 0;

  const draw = () => {
    const { facts, pulse } = store;
    const known = STATES.has(facts.state) ? facts.state : "starting";
    node.dataset.state = known;
    setText(state, known);
    const first = store.curves.values().next().value;
    setText(key, first ? `${first.name} ${first.last}` : "");
    const { progress } = pulse;
    bar.hidden = label.hidden = left.hidden = !progress || Boolean(facts.final);
    if (bar.hidden) return;
    const [name, part, seconds] = progress;
    if (bar.value !== part) progressAt = performance.now();
    bar.value = part;
    bar.ariaLabel = name || "progress";
    bar.title = label.title = name;
    setText(label, name);
    const rest = seconds === null ? "" : ` · ${clock(seconds - (performance.now() - progressAt) / 1000)} left`;
    setText(left, `${Math.floor(100 * part)} %${rest}`);
  };
  const tick = (seconds) => setText(elapsed, clock(seconds));
  return { node, draw, tick };
}

function createDetails() {
  const node = element("div", "ddp-details");
  let drawn = "";
  const line = ([name, text]) => {
    if (name !== "ddp-rest") return element("div", name, text);
    const rest = element("details", `${name} ddp-override`, text);
    rest.prepend(element("summary", "", `${text.split("\n").length} more`));
    return rest;
  };
  const draw = (facts) => {
    const { overrides = [] } = facts;
    const few = overrides.length > OVERRIDES ? OVERRIDES - 2 : OVERRIDES;
    const attempt = facts.attempt ? `attempt ${facts.attempt + 1}` : "";
    const items = [
      ["ddp-title", facts.name],
      ["ddp-where", [facts.run, facts.label, facts.workers, attempt].filter(Boolean).join(" · ")],
      ...overrides.slice(0, few).map((text) => ["ddp-override", text]),
      ["ddp-rest", overrides.slice(few).join("\n")],
      ["ddp-note", facts.note],
      ["ddp-warning", facts.stalled],
      ...(facts.notices ?? []).map(([text, warning]) => [warning ? "ddp-warning" : "ddp-notice", text]),
      ["ddp-summary", facts.summary],
    ].filter(([, text]) => text);
    if (drawn === JSON.stringify(items)) return; // keeps a selection
    drawn = JSON.stringify(items);
    node.replaceChildren(...items.map(line));
  };
  return { node, draw };
}

// ---- tabs ----

function createTabs(store, select) {
  const node = element("div", "ddp-tabs");
  node.role = "tablist";
  node.ariaLabel = "Ranks";
  node.ariaMultiSelectable = "true"; // with --rank 0,1
  node.addEventListener("keydown", (event) => {
    const tabs = [...node.children];
    const at = tabs.indexOf(event.target);
    const next = { ArrowRight: (at + 1) % tabs.length, ArrowLeft: at - 1, Home: 0, End: -1 }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    tabs.at(next).focus();
    tabs.at(next).click();
  });
  const add = (rank) => {
    const tab = element("button", "ddp-tab");
    tab.type = "button";
    tab.role = "tab";
    if (rank !== ALL) tab.append(element("span", "ddp-word", "rank "));
    tab.append(rank === ALL ? "all" : String(rank), element("span", "ddp-mark"));
    tab.addEventListener("click", () => select(rank));
    tab.rank = rank;
    node.append(tab);
  };
  const draw = (selected) => {
    const { devices = [], failed = [] } = store.facts;
    node.hidden = devices.length < 2;
    node.classList.toggle("ddp-many", devices.length > 4);
    if (!node.childElementCount && devices.length > 1) [...devices.keys(), ALL].forEach(add);
    for (const tab of node.children) {
      const on = selected.includes(tab.rank);
      const rank = store.ranks.get(tab.rank);
      if (rank && (on || selected.includes(ALL))) rank.read = rank.end;
      const bad = failed.includes(tab.rank);
      const unread = Boolean(rank) && rank.end > rank.read;
      tab.ariaSelected = on;
      tab.tabIndex = tab.rank === selected[0] ? 0 : -1;
      tab.classList.toggle("ddp-bad", bad);
      tab.lastChild.textContent = bad ? " ✕" : unread ? " •" : "";
      tab.lastChild.ariaLabel = bad ? "failed" : unread ? "new output" : "";
      tab.title = tab.rank === ALL ? "All ranks, by time" : `${devices[tab.rank]}${bad ? "; it failed" : unread ? "; new output" : ""}`;
    }
  };
  return { node, draw };
}
