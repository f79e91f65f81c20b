// Lines as nodes: a line is a string, or a list of strings and [text, fg, bg, effects].

const INVERSE = 16;
const ON = { 0: "#000", 7: "#fff", 15: "#fff" };
const EFFECTS = [[1, "bold"], [2, "dim"], [4, "italic"], [8, "underline"], [INVERSE, "inverse"], [32, "strike"]];

function colour(number) {
  if (number < 16) return `var(--ddp-${number})`;
  if (number >= 256) return "#" + (number - 256).toString(16).padStart(6, "0");
  if (number >= 232) return `rgb(${Array(3).fill(8 + 10 * (number - 232)).join()})`;
  const cube = number - 16;
  const part = (n) => (n ? 55 + 40 * n : 0);
  return `rgb(${part(Math.floor(cube / 36))},${part(Math.floor(cube / 6) % 6)},${part(cube % 6)})`;
}

function pieceNode(piece) {
  if (typeof piece === "string") return document.createTextNode(piece);
  const [text, front, back, effects] = piece;
  const node = element("span", "", text);
  for (const [bit, name] of EFFECTS) if (effects & bit) node.classList.add(`ddp-${name}`);
  const [fg, bg] = effects & INVERSE ? [back, front] : [front, back];
  if (bg >= 0) {
    const deep = ON[fg] === "#fff" && bg < 16; // a dark theme's own colours are too light below white
    node.classList.add("ddp-on");
    node.style.backgroundColor = deep ? `color-mix(in srgb,${colour(bg)} 60%,#000)` : colour(bg);
  }
  if (bg >= 0 && ON[fg]) node.style.color = ON[fg]; // black and white are meant on a ground
  else if (fg >= 0) node.style.color = colour(fg);
  return node;
}

function lineNode(line, label) {
  const node = element("div", "ddp-line");
  if (label !== undefined) node.dataset.rank = label; // before the line, and no part of its text
  node.append(...(typeof line === "string" ? [line] : line.map(pieceNode)));
  return node;
}

function entryNode(entry, labelled) {
  const node = lineNode(entry.line ?? gapText(entry), labelled ? entry.r : undefined);
  if (entry.line === undefined) node.classList.add("ddp-gap");
  return node;
}

function gapText(entry) {
  return `… ${plural(entry.gap, "line")} not shown here, see the log`;
}

function plainText(line) {
  return typeof line === "string" ? line : line.map((piece) => (typeof piece === "string" ? piece : piece[0])).join("");
}
