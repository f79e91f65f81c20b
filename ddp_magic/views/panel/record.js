// The record of a run on a page that the kernel's updates of outputs do not reach: it was reloaded
// in the middle of the run, or opened then, or shows the panel once more in another cell. Without
// this its notebook would keep what was saved in the middle, and panels without their widget.

const RECORD_PATIENCE = 2000; // for the updates, which most pages get
const VIEW = "application/vnd.jupyter.widget-view+json";

// what is left of the run in the notebook, each with what is to be there
async function leftovers(model) {
  const name = model.get("record_class");
  const manager = model.widget_manager;
  const found = [];
  for (const { outputs } of manager?.context?.model?.cells ?? []) {
    for (let at = 0; at < (outputs?.length ?? 0); at += 1) {
      const { data } = outputs.get(at);
      const html = String(data["text/html"] ?? "");
      const id = data[VIEW]?.model_id;
      const shows = id && manager.has_model(id) && (await manager.get_model(id)).get("record_class") === name;
      if (html.startsWith(`<div class="${name}">`)) found.push({ outputs, at, keeps: true });
      else if (html.startsWith(`<div class="${name}-revive">`)) found.push({ outputs, at, keeps: false });
      else if (shows) found.push({ outputs, at, keeps: Boolean(data["text/plain"]) });
    }
  }
  return found;
}

function keepRecord(model, store) {
  const put = async ({ record }) => {
    if (!record) return;
    store.listeners.delete(put);
    for (const { outputs, at, keeps } of await leftovers(model)) {
      outputs.set(at, { ...outputs.get(at).toJSON(), data: keeps ? record : { "text/plain": "" } });
    }
  };
  const look = async () => {
    if (!(await leftovers(model)).length) return;
    store.listeners.add(put);
    ask(model, { t: "record" });
  };
  const watch = () => {
    if (!store.facts.final) return;
    store.views.delete(watch);
    if (!store.lost) setTimeout(look, RECORD_PATIENCE);
  };
  store.views.add(watch);
  watch();
}
