// Small things of a page. Data becomes text nodes and attributes; no markup is ever parsed here.

const SVG = "http://www.w3.org/2000/svg";

function element(tag, name, text = "") {
  const node = document.createElement(tag);
  node.className = name;
  node.textContent = text;
  return node;
}

function drawn(tag, attributes) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

function button(name, text, title, act) {
  const node = element("button", `ddp-button ${name}`, text);
  node.type = "button";
  node.title = title;
  node.addEventListener("click", act);
  return node;
}

function setText(node, text) {
  node.hidden = !text;
  if (node.textContent !== text) node.textContent = text;
}

function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (n) => String(n).padStart(2, "0");
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor(whole / 60) % 60;
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

function plural(count, word) {
  return `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
}

function short(number) {
  if (!Number.isFinite(number)) return String(number);
  const size = Math.abs(number);
  if (size && (size < 1e-3 || size >= 1e5)) return number.toExponential(2).replace("e+", "e");
  return String(Number(number.toPrecision(4)));
}
