// Small charts of what was reported: one for each quantity, train and val and the run before in it.

const CHARTS = 4; // before "more"
const WIDTH = 240;
const HEIGHT = 56;
const PART = /^(train(?:ing)?|val(?:id(?:ation)?)?|eval(?:uation)?|test|dev)[\s/_.-]+|[\s/_.-]+(train(?:ing)?|val(?:id(?:ation)?)?|eval(?:uation)?|test|dev)$/i;

function groups(curves) {
  const found = new Map();
  for (const curve of curves.values()) {
    const key = curve.name.replace(PART, "").toLowerCase();
    found.set(key, [...(found.get(key) ?? []), curve]);
  }
  return [...found.values()];
}

function scales(curves) {
  const xs = curves.flatMap((curve) => [curve.x[0], curve.x.at(-1)]).filter((x) => x !== undefined);
  const ys = curves.flatMap((curve) => curve.y).sort((a, b) => a - b);
  const [low, middle, high] = [ys[0], ys[ys.length >> 1], ys.at(-1)];
  // a loss that begins far above all that follows leaves no height to the rest, either
  const log = low > 0 && (high / low > 100 || (high / low > 5 && (middle - low) / (high - low) < 0.1));
  const [left, right] = [Math.min(...xs), Math.max(...xs)];
  const bend = log ? Math.log10 : (y) => y;
  const [bottom, top] = [bend(low), bend(high)];
  const across = (x) => (right > left ? ((x - left) / (right - left)) * WIDTH : WIDTH / 2);
  const up = (y) => (top > bottom ? HEIGHT - 3 - ((bend(y) - bottom) / (top - bottom)) * (HEIGHT - 6) : HEIGHT / 2);
  return { across, up, low, high, left, right, log };
}

function lineOf(curve, { across, up }, name) {
  const points = curve.x.map((x, i) => `${across(x).toFixed(1)},${up(curve.y[i]).toFixed(1)}`).join(" ");
  if (curve.x.length === 1) return drawn("circle", { cx: across(curve.x[0]), cy: up(curve.y[0]), r: 2, class: `ddp-dot ${name}` });
  return drawn("polyline", { points, class: `ddp-curve ${name}` });
}

function nearest(xs, x) {
  let low = 0;
  let high = xs.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (xs[middle] < x) low = middle + 1;
    else high = middle;
  }
  return low > 0 && x - xs[low - 1] < xs[low] - x ? low - 1 : low;
}

function createChart(store) {
  const node = element("figure", "ddp-chart");
  const caption = element("figcaption", "ddp-caption");
  const svg = drawn("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  const range = element("div", "ddp-range");
  const axis = element("div", "ddp-axis");
  const place = element("span", "ddp-step");
  const before = element("span", "ddp-before", "┄ the run before");
  const end = element("span", "");
  axis.append(place, before, end);
  const cursor = drawn("line", { y1: 0, y2: HEIGHT, class: "ddp-cursor" });
  node.append(caption, svg, range, axis);
  let curves = [];
  let frame = null;
  let pointed = null;

  const label = (curve) => curves.length > 1 && curve.name.match(PART)?.[0].replace(/[\s/_.-]/g, "") || curve.name;
  const title = () => (curves.length > 1 ? [element("span", "ddp-name", curves[0].name.replace(PART, ""))] : []);
  const legend = (valueOf) => [...title(), ...curves.map((curve, i) => {
    const item = element("span", `ddp-legend ddp-series${i % 5}`);
    const value = element("b", "", valueOf(curve));
    if (curve.strange) value.classList.add("ddp-strange");
    item.append(element("span", "ddp-name", label(curve)), value);
    item.title = curve.strange ? `${plural(curve.strange, "value")} of ${curve.name} ${curve.strange === 1 ? "was" : "were"} NaN or infinite` : curve.name;
    return item;
  })];
  const say = () => {
    axis.hidden = !frame;
    if (frame) place.textContent = `step ${short(frame.left)}`;
    if (pointed === null || !frame) return caption.replaceChildren(...legend((curve) => curve.last));
    const x = frame.left + pointed * (frame.right - frame.left);
    const filled = curves.find((curve) => curve.x.length);
    const at = filled ? filled.x[nearest(filled.x, x)] : x;
    const value = (curve) => (curve.x.length ? short(curve.y[nearest(curve.x, x)]) : "");
    caption.replaceChildren(...legend(value));
    place.textContent = `step ${short(at)}`;
    const along = frame.across(at);
    cursor.setAttribute("x1", along);
    cursor.setAttribute("x2", along);
  };
  const point = (part) => {
    pointed = part;
    cursor.style.display = part === null ? "none" : "";
    say();
  };
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    point(Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)));
  });
  svg.addEventListener("pointerleave", () => point(null));
  node.tabIndex = 0;
  node.addEventListener("blur", () => point(null));
  node.addEventListener("keydown", ({ key }) => {
    const step = { ArrowRight: 0.02, ArrowLeft: -0.02 }[key];
    if (step) point(Math.min(1, Math.max(0, (pointed ?? 1) + step)));
  });

  node.draw = (group) => {
    curves = group;
    const ghosts = group.map((curve) => store.ghosts.get(curve.name)).filter(Boolean);
    const filled = [...group, ...ghosts].filter((curve) => curve.x.length);
    frame = filled.length ? scales(filled) : null;
    const lines = frame ? [
      ...ghosts.map((curve) => lineOf(curve, frame, "ddp-ghost")),
      ...group.filter((curve) => curve.x.length).map((curve) => lineOf(curve, frame, `ddp-series${group.indexOf(curve) % 5}`)),
    ] : [];
    svg.replaceChildren(...lines, cursor);
    const ends = frame ? [short(frame.low), frame.log ? "log" : "", short(frame.high)] : [];
    range.replaceChildren(...ends.map((text) => element("span", "", text)));
    before.hidden = !ghosts.length;
    setText(end, frame && frame.right > frame.left ? short(frame.right) : "");
    node.role = "group";
    node.ariaLabel = group.map((curve) => `${curve.name}: ${curve.last}`).join(", ");
    point(pointed);
  };
  point(null);
  return node;
}

function createCharts(store) {
  const node = element("div", "ddp-charts");
  const charts = new Map();
  let open = false;
  const more = button("ddp-quiet ddp-more", "", "Show all charts", () => {
    open = !open;
    draw();
  });
  const versions = new WeakMap();
  const draw = () => {
    const all = groups(store.curves);
    const few = all.length <= CHARTS + 1; // one more takes no more room than the button
    const shown = open || few ? all : all.slice(0, CHARTS);
    node.hidden = !all.length;
    const nodes = shown.map((group) => {
      const key = group[0].name;
      if (!charts.has(key)) charts.set(key, createChart(store));
      const chart = charts.get(key);
      const version = group.map((curve) => `${curve.x.length} ${curve.x.at(-1)} ${curve.last}`).join() + store.ghosts.size;
      if (versions.get(chart) !== version) chart.draw(group);
      versions.set(chart, version);
      return chart;
    });
    more.hidden = few;
    more.textContent = open ? "fewer" : `${all.length - CHARTS} more`;
    const wanted = [...nodes, more];
    if (wanted.some((child, i) => node.children[i] !== child) || node.childElementCount !== wanted.length) {
      node.replaceChildren(...wanted);
    }
  };
  return { node, draw };
}
