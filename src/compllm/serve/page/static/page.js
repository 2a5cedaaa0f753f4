// Keeps the parts of a page up to date. The server renders them; here they are only put in place, so that the reader
// loses neither focus nor selection nor what was unfolded.
"use strict";

function update(shown, fresh) {
  if (shown.isEqualNode(fresh)) return;
  if (shown.nodeType !== fresh.nodeType || shown.nodeName !== fresh.nodeName || shown.id !== fresh.id) {
    shown.replaceWith(fresh.cloneNode(true));
    return;
  }
  if (shown.nodeType !== Node.ELEMENT_NODE) {
    shown.data = fresh.data;
    return;
  }
  updateAttributes(shown, fresh);
  const present = [...shown.childNodes];
  const wanted = [...fresh.childNodes];
  present.slice(wanted.length).forEach((child) => child.remove());
  wanted.forEach((child, place) => {
    if (present[place]) update(present[place], child);
    else shown.append(child.cloneNode(true));
  });
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
  source.addEventListener("error", () => { notice.hidden = false; });
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
