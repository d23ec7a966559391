// What a person has in hand at a page that swaps its pieces: a press that has begun, a marked text,
// what they have opened, the place of the keyboard. Every page works without this file.
(() => {
  "use strict";

  let isHeld = false;
  let hadFocus = false;
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
    hadFocus = target.contains(document.activeElement);
    opened = [...target.querySelectorAll("details[id][open]")].map((details) => details.id);
  });

  document.addEventListener("htmx:afterSwap", () => {
    for (const id of opened.splice(0)) {
      const details = document.getElementById(id);
      if (details) details.open = true;
    }
  });

  // Whoever pressed what is gone now goes on by keyboard from what has come in its place.
  document.addEventListener("htmx:afterSettle", (event) => {
    const { target, requestConfig } = event.detail;
    const place = document.getElementById(target.id);
    const isLost = document.activeElement === document.body;
    if (!place || !isLost || !(hadFocus || requestConfig.triggeringEvent)) return;
    place.tabIndex = -1;
    place.focus({ preventScroll: true });
  });

  // Typing is one search, however many pauses it has.
  document.addEventListener("htmx:beforeHistoryUpdate", (event) => {
    const { history, requestConfig } = event.detail;
    const isHere = history.path === location.pathname + location.search;
    if (isHere || requestConfig.triggeringEvent?.type === "input") history.type = "replace";
  });

  const MENUS = "details.tabs-menu[open], details.switch[open]";

  document.addEventListener("click", (event) => {
    for (const menu of document.querySelectorAll(MENUS)) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  });

  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of document.querySelectorAll(MENUS)) {
      if (menu.contains(document.activeElement)) menu.querySelector("summary").focus();
      menu.open = false;
    }
  });
})();
