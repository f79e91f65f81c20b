// How a page asks something of a run.

// By the control channel, which the kernel reads while a cell blocks, in all versions and without
// subshells. By the panel's comm where that is not to be had; in some kernels it is read too late.
function ask(model, content) {
  const kernel = model.get("beside") ? model.widget_manager?.kernel : null;
  if (typeof kernel?.sendControlMessage === "function") {
    try {
      const done = kernel.sendControlMessage(request(model.get("record_class"), kernel.clientId, content)).done;
      done?.catch?.(() => {}); // a kernel that was restarted
      return;
    } catch {} // a kernel that is dead
  }
  try {
    model.send(content);
  } catch {} // nobody is there: the kernel is dead, or the notebook was closed
}

function request(type, session, content) {
  const header = {
    msg_id: crypto.randomUUID?.() ?? `ddp-${crypto.getRandomValues(new Uint32Array(4)).join("")}`,
    msg_type: type, session, username: "", version: "5.4", date: new Date().toISOString(),
  };
  return { channel: "control", header, parent_header: {}, metadata: {}, content, buffers: [] };
}
