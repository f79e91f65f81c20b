// What the run takes of the machine: a line for each GPU and each worker, with its last two minutes.

const WORKERS = 8; // with a line of their own

function bytes(count) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (count >= 999.5 && unit < units.length - 1) {
    count /= 1000;
    unit += 1;
  }
  return `${count < 10 && unit > 2 ? count.toFixed(1) : Math.round(count)} ${units[unit]}`;
}

function cores(cpu) {
  return `${cpu.toFixed(cpu < 10 ? 1 : 0)} cores`;
}

// a fact: what it says, and the curve that shows it
function sparkline(facts) {
  const svg = drawn("svg", { viewBox: "0 0 120 16", preserveAspectRatio: "none", class: "ddp-spark", "aria-hidden": "true" });
  for (const { values = [], top, series } of facts) {
    const high = Math.max(top, ...values, 1e-9);
    const step = 120 / Math.max(29, values.length - 1); // half a minute fills it
    const start = 120 - (values.length - 1) * step;
    const points = values.map((value, i) => `${(start + i * step).toFixed(1)},${(15 - (14 * value) / high).toFixed(1)}`);
    svg.append(drawn("polyline", { points: points.join(" "), class: `ddp-curve ${series}` }));
  }
  return svg;
}

function createDevices(store) {
  const node = element("div", "ddp-devices");
  let drawnAt = null;
  const row = (label, title, facts) => {
    const line = element("div", "ddp-device");
    line.title = title;
    const said = element("span", "ddp-device-text");
    said.append(...facts.map(({ text, series = "" }) => element("span", series, text)));
    line.append(element("span", "ddp-device-name", label), sparkline(facts), said);
    return line;
  };
  const past = (kind, i, name) => store.samples.map((sample) => sample[kind][i]?.[name] ?? 0);
  const gpuRow = (gpu, i) => {
    const [used, total] = [bytes(gpu.used), bytes(gpu.total)];
    const unit = total.slice(-3);
    const facts = [{ text: `${used.replace(unit, "")} of ${total}`, series: "ddp-series0", values: past("gpus", i, "used"), top: gpu.total }];
    if (gpu.busy !== null) facts.push({ text: `${Math.round(100 * gpu.busy)} %`, series: "ddp-series1", values: past("gpus", i, "busy"), top: 1 });
    if (gpu.kernel) facts.push({ text: `kernel ${bytes(gpu.kernel)}` });
    const own = gpu.kernel ? ", of which this notebook's kernel holds a part" : "";
    return row(gpu.label.split(" ")[0], `${gpu.label}: memory in use${own}, and how busy it is`, facts);
  };
  const workerRow = (top) => (worker, i) =>
    row(`rank ${worker.rank}`, `rank ${worker.rank}: memory and CPU, its own processes included`, [
      { text: bytes(worker.memory), series: "ddp-series0", values: past("workers", i, "memory"), top },
      { text: cores(worker.cpu), series: "ddp-series1", values: past("workers", i, "cpu"), top: 1 },
    ]);
  const restRow = (workers) => {
    const sum = (name) => workers.reduce((total, worker) => total + worker[name], 0);
    return element("div", "ddp-device", `${workers.length} more: ${bytes(sum("memory"))} · ${cores(sum("cpu"))}`);
  };
  const draw = () => {
    const last = store.samples.at(-1);
    node.hidden = !last || Boolean(store.facts.final);
    if (!last || last === drawnAt || node.hidden) return;
    drawnAt = last;
    const most = Math.max(...store.samples.flatMap((sample) => sample.workers.map((worker) => worker.memory)));
    const rows = [...last.gpus.map(gpuRow), ...last.workers.slice(0, WORKERS).map(workerRow(1.2 * most))];
    const more = last.workers.slice(WORKERS);
    node.replaceChildren(...rows, ...(more.length ? [restRow(more)] : []));
  };
  return { node, draw };
}
