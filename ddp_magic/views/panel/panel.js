// The panel of a run: an anywidget module that draws what views/wire.py sends.

function hideRecord(model) {
  const name = model.get("record_class");
  const style = document.createElement("style");
  if (/^ddp-magic-[0-9a-f]+$/.test(name)) {
    // two rules: a browser without :has() drops the second alone
    const hidden = "{ display: none }";
    style.textContent = `.${name} ${hidden} .jp-OutputArea-child:is(:has(.${name}), :has(.${name}-revive:empty)) ${hidden}`;
  }
  return style;
}

function createPanes(store) {
  const node = element("div", "ddp-panes");
  node.role = "tabpanel";
  node.ariaLabel = "Output";
  let panes = [];
  const draw = (selected) => {
    if (selected.join() !== panes.map((pane) => pane.rank).join()) {
      panes = selected.map((rank) => createPane(rank, selected.length > 1 ? `rank ${rank}` : ""));
      node.replaceChildren(...panes.map((pane) => pane.node));
    }
    for (const pane of panes) pane.draw(outputOf(store, pane.rank));
  };
  return { node, draw, panes: () => panes };
}

function createNotice() {
  const node = element("div", "ddp-reason");
  const text = element("span", "");
  const left = element("span", "");
  text.role = "status";
  left.role = "timer"; // not read out every second
  node.append(text, left);
  let drawn = "";
  const say = (words) => (text.textContent = words ?? "");
  const draw = ({ facts, killAt }) => {
    if (drawn !== facts.state + facts.reason) say(facts.reason);
    drawn = facts.state + facts.reason;
    setText(left, killAt ? ` · killed in ${clock((killAt - performance.now()) / 1000)}` : "");
  };
  return { node, say, draw };
}

function initialize({ model }) {
  const store = storeOf(model);
  keepRecord(model, store);
  return () => {
    store.close();
    stores.delete(model.get("record_class"));
  };
}

function render({ model, el }) {
  const store = storeOf(model);
  const panel = element("div", "ddp-magic");
  panel.role = "group";
  panel.ariaLabel = "%%ddp run";
  panel.dataset.run = model.get("record_class");
  panel.dataset.lmSuppressShortcuts = "true"; // keys are for the panel, not for the notebook
  let chosen = null;
  const selected = () => chosen ?? store.facts.shown ?? [0];
  const select = (rank) => {
    chosen = [rank];
    ask(model, { t: "watch", r: rank });
    schedule();
  };
  const notice = createNotice();
  const controls = createControls(model, store, notice.say);
  const header = createHeader(store, controls.node);
  const details = createDetails();
  const charts = createCharts(store);
  const devices = createDevices(store);
  const stacks = createStacks(store, () => schedule());
  const tabs = createTabs(store, select);
  const panes = createPanes(store);
  const tools = createTools(model, store, selected, panes.panes, notice.say);
  const strip = element("div", "ddp-strip");
  strip.append(tabs.node, tools.node);
  panel.append(header.node, notice.node, details.node, charts.node, devices.node, stacks.node, strip, panes.node);
  el.append(hideRecord(model), panel);

  let frame = 0;
  const draw = () => {
    frame = 0;
    notice.draw(store);
    controls.draw(store.facts);
    details.draw(store.facts);
    charts.draw();
    devices.draw();
    stacks.draw();
    tabs.draw(selected());
    panes.draw(selected());
    tools.draw();
    tick();
  };
  const tick = () => {
    const { final, elapsed } = store.facts;
    header.draw();
    header.tick(final ? elapsed : (performance.now() - store.zero) / 1000);
    if (store.killAt) notice.draw(store);
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
