// What a person has in hand at a page that swaps its pieces: a press that has begun, a marked text,
// what they have opened. Every page works without this file.
(() => {
  "use strict";

  let isHeld = false;
  let opened = [];

  // The click comes after the button is let go, and wants what it was pressed on.
  const release = () => setTimeout(() => { isHeld = false; });
  document.addEventListener("pointerdown", (event) => { isHeld = event.button < 2; }, true);
  document.addEventListener("pointerup", release, true);
  document.addEventListener("pointercancel", release, true);

  const isMarkedIn = (target) => {
    const marked = window.getSelection();
    return !marked.isCollapsed && marked.containsNode(target, true);
  };

  document.addEventListener("htmx:beforeSwap", (event) => {
    const { target, requestConfig } = event.detail;
    // What a page asks for by itself it asks for again; scripts of ours fetch the balance but once.
    const mayWait = !requestConfig.triggeringEvent && target.id !== "balance";
    if (mayWait && (isHeld || isMarkedIn(target))) event.detail.shouldSwap = false;
    opened = [...target.querySelectorAll("details[id][open]")].map((details) => details.id);
  });

  document.addEventListener("htmx:afterSwap", () => {
    for (const id of opened.splice(0)) {
      const details = document.getElementById(id);
      if (details) details.open = true;
    }
  });
})();
