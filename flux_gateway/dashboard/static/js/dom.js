// Elements made and changed by code; nothing here ever parses HTML, so no text can become markup.

const SVG = "http://www.w3.org/2000/svg";

export const byId = (id) => document.getElementById(id);

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) setAttr(node, name, value);
  node.append(...children);
  return node;
}

export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

export function icon(name, attributes = { class: "icon" }) {
  return svg("svg", { ...attributes, "aria-hidden": "true" }, svg("use", { href: `#i-${name}` }));
}

/** Change an attribute only when it differs; null takes it away. */
export function setAttr(node, name, value) {
  if (value === null || value === undefined || value === false) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
  } else if (node.getAttribute(name) !== String(value)) {
    node.setAttribute(name, value);
  }
}

/** Change a text only when it differs, so that nothing is laid out or read out again without need. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Put `nodes` into `parent` in this order, moving only what is out of place. */
export function arrange(parent, nodes) {
  let at = parent.firstElementChild;
  for (const node of nodes) {
    if (node === at) at = at.nextElementSibling;
    else parent.insertBefore(node, at);
  }
  while (at) {
    const next = at.nextElementSibling;
    at.remove();
    at = next;
  }
}
