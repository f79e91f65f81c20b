// Stop, and what else a person may want of a run that goes on.

const STOP_PATIENCE = 1200;
const LONGER = 60;

function createControls(model, store, say) {
  const node = element("span", "ddp-controls");
  let quietUntil = 0; // a double click on Stop must not be Stop and Kill

  const unheard = (kill) => {
    const settled = store.facts.final || store.stopHeard || (!kill && store.facts.state === "stopping");
    if (settled) return;
    if (store.facts.detached) {
      // an interrupt would end whatever cell keeps the kernel busy, and not the run
      say("The kernel is busy with a cell; the run is stopped as soon as that has ended.");
      return;
    }
    const kernel = model.widget_manager?.kernel;
    if (typeof kernel?.interrupt === "function") {
      say("Interrupting the kernel …");
      Promise.resolve(kernel.interrupt()).catch(() => say("The kernel could not be interrupted."));
    } else {
      say("This page cannot reach the busy kernel: press the notebook's interrupt button (■).");
    }
  };
  const stop = button("ddp-stop", "Stop", "", () => {
    if (performance.now() < quietUntil) return;
    quietUntil = performance.now() + 1500;
    const kill = store.facts.state === "stopping";
    store.stopHeard = false;
    say(kill ? "Killing …" : "Stopping …");
    ask(model, { t: "stop", kill });
    setTimeout(unheard, STOP_PATIENCE, kill);
  });
  const longer = button("ddp-longer", "Wait longer", `Give the workers ${LONGER} seconds more before they are killed`, () =>
    ask(model, { t: "extend", s: LONGER }),
  );
  const stacks = button("ddp-quiet", "stacks", "Show where every rank is", () => {
    ask(model, { t: "stacks" });
    setTimeout(() => store.stacks || store.answered || say("The kernel does not answer while the cell runs."), 3000);
  });
  const free = button("ddp-quiet", "to background", "Let the run go on and free the notebook", () => ask(model, { t: "background" }));
  node.append(stacks, free, longer, stop);

  const draw = ({ state, final, stalled, can = [] }) => {
    const kill = state === "stopping";
    stacks.classList.toggle("ddp-quiet", !stalled);
    stop.hidden = Boolean(final);
    stacks.hidden = final || !can.includes("stacks") || state === "starting";
    free.hidden = final || kill || !can.includes("background");
    longer.hidden = final || !kill || !can.includes("extend");
    stop.textContent = kill ? "Kill" : "Stop";
    stop.classList.toggle("ddp-kill", kill);
    stop.title = kill
      ? "Kill all workers now; unsaved work is lost"
      : "Send every worker a KeyboardInterrupt; press again to kill";
  };
  return { node, draw };
}

// ---- stacks ----

function createStacks(store, redraw) {
  const node = element("div", "ddp-stacks");
  const text = element("pre", "ddp-stacks-text");
  text.tabIndex = 0;
  text.ariaLabel = "Where every rank is";
  const close = button("ddp-quiet ddp-close", "×", "Close the stacks", () => {
    store.stacks = "";
    redraw();
  });
  close.ariaLabel = close.title;
  node.append(close, text);
  const draw = () => {
    node.hidden = !store.stacks;
    setText(text, store.stacks);
  };
  return { node, draw };
}
