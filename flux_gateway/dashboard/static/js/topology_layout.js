// Where everything in the drawing goes. Pure: sizes in, boxes out. One unit is one pixel.

const COLUMN = 8; // up to so many nodes stand in one column, with a line from each proxy to each node
const WORDS = 24; // up to so many each has a box with words; above, a cell with a sign and a short name
const NARROW = 600;
const EDGE = 1; // room for the outline of the outermost boxes

/**
 * Return {mode, words, width, height, clients, proxies, nodes, redis, frame}; boxes are {x, y, w, h}.
 * `words` says whether nodes have room for words; `frame` surrounds a grid of nodes, else it is null.
 */
export function layout(width, proxyCount, nodeCount, longest) {
  const words = nodeCount <= WORDS;
  const make = width < NARROW ? vertical : horizontal;
  return { width, words, ...make(width, proxyCount, nodeCount, words, longest) };
}

function horizontal(width, proxyCount, nodeCount, words, longest) {
  const inColumn = nodeCount <= COLUMN;
  const end = { w: Math.min(inColumn ? 128 : 112, width * 0.15), h: 60 };
  const proxyW = Math.min(inColumn ? 170 : 140, width * 0.18);
  const space = width - 2 * EDGE - 2 * end.w - proxyW;
  const gap = Math.min(110, Math.max(30, space * (inColumn ? 0.12 : 0.06)));
  const regionW = space - 3 * gap;
  const pad = inColumn ? 0 : 10;
  const title = inColumn ? 0 : 22;
  const nodes = inColumn
    ? grid(nodeCount, Math.min(230, regionW), 1, 54, 12)
    : gridOf(nodeCount, regionW - 2 * pad, words, longest);
  const used = Math.max(0, ...nodes.map((box) => box.x + box.w)) + 2 * pad;
  const regionH = Math.max(0, ...nodes.map((box) => box.y + box.h)) + 2 * pad + title;
  const proxyH = 54;
  const height = Math.max(190, regionH, proxyCount * (proxyH + 12)) + 2 * EDGE;
  // What the nodes leave free goes to the gaps.
  const spread = Math.min(180, gap + (regionW - used) / 3);
  const left = EDGE + Math.max(0, (space - used - 3 * spread) / 2);
  const middle = height / 2;
  const proxyX = left + end.w + spread;
  const nodesX = proxyX + proxyW + spread;
  const top = middle - regionH / 2;
  return {
    mode: "horizontal",
    height,
    clients: { x: left, y: middle - end.h / 2, ...end },
    proxies: grid(proxyCount, proxyW, 1, proxyH, 12).map((box) => ({
      ...box,
      x: proxyX,
      y: box.y + middle - (proxyCount * (proxyH + 12) - 12) / 2,
    })),
    nodes: nodes.map((box) => ({ ...box, x: box.x + nodesX + pad, y: box.y + top + pad + title })),
    frame: inColumn ? null : { x: nodesX, y: top, w: used, h: regionH },
    redis: { x: nodesX + used + spread, y: middle - end.h / 2, ...end },
  };
}

function vertical(width, proxyCount, nodeCount, words, longest) {
  const end = { w: Math.min(190, width * 0.6), h: 54 };
  const gap = 34;
  const perRow = Math.max(1, Math.min(proxyCount, Math.floor((width + 10) / 130)));
  const proxyW = Math.min(190, (width - 2 * EDGE - (perRow - 1) * 10) / perRow);
  const proxyRows = Math.ceil(proxyCount / perRow);
  const proxyTop = EDGE + end.h + gap;
  const nodesTop = proxyTop + Math.max(0, proxyRows * 64 - 10) + gap;
  const nodes = gridOf(nodeCount, width - 20 - 2 * EDGE, words, longest, 2);
  const regionH = Math.max(0, ...nodes.map((box) => box.y + box.h)) + 42;
  return {
    mode: "vertical",
    height: nodesTop + regionH + gap + end.h + EDGE,
    clients: { x: (width - end.w) / 2, y: EDGE, ...end },
    proxies: rows(proxyCount, perRow, proxyW, 54, 10, width, proxyTop),
    nodes: nodes.map((box) => ({ ...box, x: box.x + 10 + EDGE, y: box.y + nodesTop + 32 })),
    frame: { x: EDGE, y: nodesTop, w: width - 2 * EDGE, h: regionH },
    redis: { x: (width - end.w) / 2, y: nodesTop + regionH + gap, ...end },
  };
}

function gridOf(count, width, words, longest, mostColumns = 4) {
  if (words) return grid(count, width, Math.min(mostColumns, Math.max(1, Math.floor(width / 132)), count), 46, 6);
  const fitting = Math.max(1, Math.floor((width + 5) / (30 + longest * 7)));
  return grid(count, width, Math.min(fitting, Math.ceil(Math.sqrt(count * 1.6))), 26, 5, 84);
}

function grid(count, width, columns, h, gap, most = 260) {
  const w = Math.min(most, (width - (columns - 1) * gap) / columns);
  return Array.from({ length: count }, (_, i) => ({
    x: (i % columns) * (w + gap),
    y: Math.floor(i / columns) * (h + gap),
    w,
    h,
  }));
}

function rows(count, perRow, w, h, gap, width, top) {
  return Array.from({ length: count }, (_, i) => {
    const inRow = Math.min(perRow, count - Math.floor(i / perRow) * perRow);
    const left = (width - (inRow * (w + gap) - gap)) / 2;
    return { x: left + (i % perRow) * (w + gap), y: top + Math.floor(i / perRow) * (h + gap), w, h };
  });
}
