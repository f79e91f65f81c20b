// Shows a run again on a page that was reloaded in the middle of it. Runs from a saved output: the
// page's own widgets stay "Loading widget…" while the cell keeps the kernel's main shell busy. It
// hears the panel's comm, and asks by the control channel as the panel does (ask.js).

async function revive({ name, comm, kernel, code, style }) {
  const PATIENCE = 3000; // for a panel of the page's own
  const SILENCE = 75_000; // a run that goes on says something every 30 s
  const ENDS = ["starting", "restarting", "dead"]; // of the kernel that another page restarts, too
  const root = document.querySelector(`.${name}-revive`);
  const config = JSON.parse(document.getElementById("jupyter-config-data")?.textContent || "null");
  const live = () => [...document.querySelectorAll(`[data-run="${name}"]`)].some((panel) => !root.contains(panel));
  if (!root || root.dataset.on || !config) return;
  root.dataset.on = "1";
  await new Promise((done) => setTimeout(done, PATIENCE));
  if (live() || !root.isConnected) return;

  const headers = {};
  const xsrf = document.cookie.match(/(?:^|; )_xsrf=([^;]*)/);
  if (xsrf) headers["X-XSRFToken"] = xsrf[1];
  if (config.token) headers.Authorization = `token ${config.token}`;
  const api = new URL(`${config.baseUrl || "/"}api/kernels/${kernel}`, location.href);
  const found = await fetch(api, { headers }).then((answer) => answer.ok, () => false);
  if (!found) return; // another kernel by now: nothing of this run is alive

  const session = `ddp-${crypto.getRandomValues(new Uint32Array(2)).join("")}`;
  const address = new URL(`${api}/channels?session_id=${session}`);
  address.protocol = address.protocol.replace("http", "ws");
  if (config.token) address.searchParams.set("token", config.token);
  const socket = new WebSocket(address);
  let count = 0;
  const send = (content) => {
    const header = {
      msg_id: `${session}-${(count += 1)}`, msg_type: name, session, username: "", version: "5.4",
      date: new Date().toISOString(),
    };
    if (socket.readyState === WebSocket.OPEN) {
      socket.send(JSON.stringify({ channel: "control", header, parent_header: {}, metadata: {}, content, buffers: [] }));
    }
  };
  const hears = new Set();
  const ends = new Set();
  const signal = { connect: (hear) => ends.add(hear), disconnect: (hear) => ends.delete(hear) };
  const interrupt = () => fetch(`${api}/interrupt`, { method: "POST", headers });
  const model = {
    get: (key) => ({ record_class: name, snapshot: {} })[key],
    on: (_, hear) => hears.add(hear),
    off: (_, hear) => hears.delete(hear),
    send,
    widget_manager: { kernel: { interrupt, statusChanged: signal } },
  };
  let leave = null;
  const draw = async () => {
    leave = () => {};
    const url = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
    const panel = (await import(url)).default;
    const sheet = document.createElement("style");
    sheet.textContent = `${style}
      .jp-OutputArea-child:has(.${name}) + .jp-OutputArea-child:not(:has(.ddp-magic)) { display: none }`;
    const place = document.createElement("div");
    root.replaceChildren(sheet, place);
    const undo = [panel.initialize({ model }), panel.render({ model, el: place })];
    leave = () => undo.forEach((each) => each());
  };
  socket.onopen = () => send({ t: "hello" });
  socket.onmessage = async ({ data }) => {
    if (typeof data !== "string") return;
    const message = JSON.parse(data);
    const { msg_type: type, content } = message;
    if (type === "comm_msg" && content.comm_id === comm && content.data?.method === "custom") {
      if (!leave) await draw();
      for (const hear of hears) hear(content.data.content, []);
    } else if (type === "shutdown_reply" || ENDS.includes(content?.execution_state)) {
      for (const hear of ends) hear(null, "dead");
    }
  };
  const begun = performance.now();
  const watch = setInterval(() => {
    const silent = !leave && performance.now() - begun > SILENCE; // another run of the same kernel
    if (root.isConnected && !live() && !silent && socket.readyState <= WebSocket.OPEN) return;
    clearInterval(watch);
    socket.close();
    if (live()) {
      leave?.();
      root.replaceChildren();
    }
  }, 1000);
}
