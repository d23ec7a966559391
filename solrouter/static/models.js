// Keys for lists with a search: "/" goes to the field, the arrows go through what was found.
(() => {
  "use strict";

  const isTyping = (element) => element.matches("input:not([type=checkbox]), textarea, select");

  const step = (field, by) => {
    const links = [...document.querySelectorAll("[data-result]")];
    if (links.length === 0) return;
    const at = links.indexOf(document.activeElement);
    const next = at + by;
    if (next < 0) field.focus();
    else links[Math.min(next, links.length - 1)].focus();
  };

  document.addEventListener("keydown", (event) => {
    const field = document.getElementById("filter-q");
    if (!field || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "/" && !isTyping(event.target)) {
      event.preventDefault();
      field.focus();
      field.select();
    }
    const isAmong = event.target === field || event.target.matches("[data-result]");
    if (isAmong && (event.key === "ArrowDown" || event.key === "ArrowUp")) {
      event.preventDefault();
      step(field, event.key === "ArrowDown" ? 1 : -1);
    }
  });
})();
