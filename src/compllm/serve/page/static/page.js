// Keeps the parts of a page up to date. The server renders them; here they are only put in place, so that the reader
// loses neither focus nor selection nor what was unfolded.
"use strict";

// What may become what: an element of the same id, or else of the same name and first class.
function kind(node) {
  return node.nodeName + (node.id || node.getAttribute?.("class")?.split(" ")[0] || "");
}

function update(shown, fresh) {
  if (shown.isEqualNode(fresh)) return;
  if (shown.nodeType !== Node.ELEMENT_NODE) {
    shown.data = fresh.data;
    return;
  }
  updateAttributes(shown, fresh);
  let at = shown.firstChild;
  for (const wanted of fresh.childNodes) {
    const match = find(wanted, at);
    if (!match) {
      shown.insertBefore(wanted.cloneNode(true), at);
      continue;
    }
    while (at !== match) at = removed(at);
    at = match.nextSibling;
    update(match, wanted);
  }
  while (at) at = removed(at);
}

function find(wanted, from) {
  if (wanted.nodeType !== Node.ELEMENT_NODE) return from?.nodeType === wanted.nodeType ? from : null;
  let match = from;
  while (match && kind(match) !== kind(wanted)) match = match.nextSibling;
  return match;
}

function removed(node) {
  const next = node.nextSibling;
  node.remove();
  return next;
}

function updateAttributes(shown, fresh) {
  const own = (name) => name === "open" && shown.nodeName === "DETAILS"; // the reader unfolds and folds
  for (const { name } of [...shown.attributes]) {
    if (!fresh.hasAttribute(name) && !own(name)) shown.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (shown.getAttribute(name) !== value && !own(name)) shown.setAttribute(name, value);
  }
}

function follow(place) {
  const notice = document.getElementById("connection");
  const source = new EventSource(place.dataset.live);
  source.addEventListener("open", () => { notice.hidden = true; });
  source.addEventListener("error", () => {
    const isOver = source.readyState === EventSource.CLOSED; // the server has refused
    notice.textContent = `The connection was lost; ${isOver ? "reload the page to go on." : "trying again."}`;
    notice.hidden = false;
  });
  source.addEventListener("end", () => source.close());
  source.addEventListener("parts", (message) => {
    for (const [id, html] of Object.entries(JSON.parse(message.data))) {
      const template = document.createElement("template");
      template.innerHTML = html;
      const fresh = template.content.firstElementChild;
      const shown = document.getElementById(id);
      if (shown) update(shown, fresh);
      else place.append(fresh);
    }
  });
}

document.querySelectorAll("[data-live]").forEach(follow);
