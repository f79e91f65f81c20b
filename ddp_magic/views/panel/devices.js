// What the run takes of the machine: a line for each GPU and each worker, with its last two minutes.

function bytes(count) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (count >= 999.5 && unit < units.length - 1) {
    count /= 1000;
    unit += 1;
  }
  return `${count < 10 && unit > 2 ? count.toFixed(1) : Math.round(count)} ${units[unit]}`;
}

function sparkline(values, top) {
  const svg = drawn("svg", { viewBox: "0 0 120 16", preserveAspectRatio: "none", class: "ddp-spark", "aria-hidden": "true" });
  const high = Math.max(top, ...values, 1e-9);
  const step = 120 / (SAMPLES - 1);
  const start = 120 - (values.length - 1) * step;
  const points = values.map((value, i) => `${(start + i * step).toFixed(1)},${(15.5 - (15 * value) / high).toFixed(1)}`);
  svg.append(drawn("polyline", { points: points.join(" "), class: "ddp-curve" }));
  return svg;
}

function createDevices(store) {
  const node = element("div", "ddp-devices");
  let drawnAt = null;
  const row = (label, values, top, text, title) => {
    const line = element("div", "ddp-device");
    line.title = title;
    line.append(element("span", "ddp-device-name", label), sparkline(values, top), element("span", "ddp-device-text", text));
    return line;
  };
  const gpuRow = (gpu, i) => {
    const busy = gpu.busy === null ? "" : ` · ${Math.round(100 * gpu.busy)} %`;
    const own = gpu.kernel ? ` · notebook ${bytes(gpu.kernel)}` : "";
    const used = store.samples.map((sample) => sample.gpus[i]?.used ?? 0);
    const text = `${bytes(gpu.used)} of ${bytes(gpu.total)}${busy}${own}`;
    return row(gpu.label.split(" ")[0], used, gpu.total, text, `${gpu.label}: memory in use${own && ", of which this notebook's kernel holds a part"}`);
  };
  const workerRow = (worker, i) => {
    const cpu = store.samples.map((sample) => sample.workers[i]?.cpu ?? 0);
    const text = `${worker.cpu.toFixed(worker.cpu < 10 ? 1 : 0)} cores · ${bytes(worker.memory)}`;
    return row(`rank ${worker.rank}`, cpu, 1, text, `rank ${worker.rank}: CPU cores and memory, its own processes included`);
  };
  const draw = () => {
    const last = store.samples.at(-1);
    node.hidden = !last || Boolean(store.facts.final);
    if (!last || last === drawnAt || node.hidden) return;
    drawnAt = last;
    node.replaceChildren(...last.gpus.map(gpuRow), ...last.workers.slice(0, 8).map(workerRow));
  };
  return { node, draw };
}
